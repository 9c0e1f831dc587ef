"""Draw the pictures of the docs' concept pages from a finished run, as SVG that follows a reader's light or dark theme.

    python tools/pictures.py --run runs/photos

The run is one by error and `latency:cpu` from EfficientNet-Lite0, with several iterations (docs/tutorial.md shows it).
"""

import argparse
import html
import json
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.model_selection import KFold, cross_val_predict

from naturalize.drawing import distribution
from naturalize.objectives import ERROR
from naturalize.objectives.exact import exact_counts, stage_counts
from naturalize.objectives.latency import Latency, kept_model
from naturalize.predictor import make
from naturalize.report import front_svg, write_report
from naturalize.run import Run, read_front
from naturalize.search import non_dominated
from naturalize.supernet import make_family

ROOT = Path(__file__).parents[1]
STYLE = """
svg { color: #24292f; --one: #1769aa; --two: #b3500f; --soft: #57606a; --faint: #8c959f55; --paper: #fff }
@media (prefers-color-scheme: dark) {
  svg { color: #e6edf3; --one: #6db3f2; --two: #f0a45d; --soft: #9da7b1; --faint: #8c959f55; --paper: #1e2129 }
}
text { font: 13px system-ui, sans-serif; fill: currentColor }
.soft { fill: var(--soft) } .mono { font-family: ui-monospace, monospace } .middle { text-anchor: middle }
.end { text-anchor: end } .bold { font-weight: 600 }
.one { fill: var(--one) } .two { fill: var(--two) } .none { fill: none; stroke: var(--soft) }
.line { fill: none; stroke: var(--soft) } .faint { stroke: var(--faint) }
.path { fill: none; stroke: var(--one); stroke-width: 2 }
.thin { fill: none; stroke: var(--one); stroke-opacity: .45 } .on { fill: var(--paper); font-weight: 600 }
"""


class Picture:
    """An SVG picture that is drawn from top to bottom; all lengths in pixels."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">'
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
        ]

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0) -> None:
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" class="{kind}" '
            f'opacity="{opacity:.2f}"/>'
        )

    def dot(self, x: float, y: float, kind: str, radius: float = 4.0, opacity: float = 1.0) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}" opacity="{opacity:.2f}"/>')

    def line(self, points: Sequence[tuple[float, float]], kind: str = "line") -> None:
        self.parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>')

    def write(self, path: Path) -> None:
        path.write_text("".join([*self.parts, "</svg>\n"]), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} KB")


class Axes:
    """A frame with two scales, and places in it."""

    def __init__(
        self, picture: Picture, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float],
        log: bool = False,
    ) -> None:  # fmt: skip
        self.picture, self.box, self.x, self.y = picture, box, x, y
        self.scale = np.log10 if log else np.asarray

    def place(self, x: float, y: float) -> tuple[float, float]:
        left, top, width, height = self.box
        low, high = self.scale(self.x[0]), self.scale(self.x[1])
        right = float((self.scale(x) - low) / (high - low))
        return left + width * right, top + height * (1 - (y - self.y[0]) / (self.y[1] - self.y[0]))

    def draw(self, xs: Sequence[float], ys: Sequence[float], words: tuple[str, str], units: tuple[str, str]) -> None:
        """Grid lines with numbers at xs and ys, and the names of both scales."""
        left, top, width, height = self.box
        for y in ys:
            at = self.place(self.x[0], y)[1]
            self.picture.line([(left, at), (left + width, at)], "line faint")
            self.picture.text(left - 6, at + 4, f"{y:g}{units[1]}", "soft end")
        for x in xs:
            self.picture.text(self.place(x, self.y[0])[0], top + height + 18, f"{x:g}{units[0]}", "soft middle")
        self.picture.text(left + width / 2, top + height + 38, words[0], "middle")
        self.picture.text(left - 40, top - 12, words[1])


def supernet(run: Run) -> Picture:
    """Three networks of the front in the outline of the supernet: a column a block, as high as it expands."""
    front = run.front()
    rows = [front[0], front[len(front) // 2], front[-1]]
    family = run.family
    variables = family.space.variables[2:]
    picture = Picture(720, 92 * len(rows) + 44, "three subnets in the outline of the supernet that they are cut from")
    factors = dict(variables[0].factors)
    most = max(factors["expansion"])
    x = 120.0
    places = []
    for index, variable in enumerate(variables):
        x += 12 if index and variable.group != variables[index - 1].group else 0
        places.append(x)
        x += 33
    for group in dict.fromkeys(variable.group for variable in variables):
        of = [place for place, variable in zip(places, variables, strict=True) if variable.group == group]
        picture.text((of[0] + of[-1] + 30) / 2, 16, group.replace("stage", "stage "), "soft middle")
    for row, network in enumerate(rows):
        top, code = 30 + 92 * row, family.space.parse(network.architecture).code
        picture.text(0, top + 36, f"{network.resolution} px", "bold")
        picture.text(0, top + 54, f"{network.madds / 1e6:.1f} M", "soft")
        picture.text(0, top + 72, f"{network.test_error:.0f}% wrong", "soft")
        for place, variable, value in zip(places, variables, code[2:], strict=True):
            of = dict(variable.factors)
            picture.box(place, top, 30, 76, "none", 0.45)
            if value:
                height = 76 * of["expansion"][value - 1] / most
                picture.box(place, top + 76 - height, 30, height, "one" if of["kernel"][value - 1] == 3 else "two")
                picture.text(place + 15, top + 71, f"{of['kernel'][value - 1]:g}", "on middle")
    picture.text(
        120,
        92 * len(rows) + 40,
        "a column a block; height: channels inside (2, 3, 4 or 6 times); number: kernel",
        "soft",
    )
    return picture


def search_space() -> Picture:
    """The variables of `mini`, an option a dot, and the path of one architecture through them."""
    space = make_family("mini", 32).space
    code = space.repair(space.sample(1, np.random.default_rng(5)))[0]
    picture = Picture(720, 300, "one architecture as a path through the variables of the space")
    columns = [column for column in range(len(space)) if space.upper[column] > 0]
    spots = []
    for place, column in enumerate(columns):
        x = 60 + 48 * place
        variable = space.variables[column]
        for option in range(variable.lower, variable.upper + 1):
            chosen = option == code[column]
            picture.dot(x, 220 - 30 * option, "one" if chosen else "none", 8 if chosen else 5)
        spots.append((x, 220 - 30 * code[column]))
        picture.text(x, 252, variable.name.rpartition("position")[2] if column else "px", "middle")
        picture.text(x, 290, str(code[column]), "middle bold mono")
    picture.parts.insert(1, f'<polyline points="{" ".join(f"{x},{y}" for x, y in spots)}" class="path"/>')
    for stage in range(3):
        picture.text(60 + 48 * (2.5 + 4 * stage), 272, f"position in stage {stage + 1}", "middle soft")
    picture.text(0, 290, "code", "soft")
    factors = dict(space.variables[-1].factors)
    for option, (kernel, expansion) in enumerate(zip(factors["kernel"], factors["expansion"], strict=True), 1):
        picture.text(684, 224 - 30 * option, f"{kernel:g}x{kernel:g}, x{expansion:g}", "soft middle")
    picture.text(684, 224, "absent", "soft middle")
    return picture


def measured(run: Run, version: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and errors that the archive has under a weights version."""
    with closing(run.archive()) as archive:
        found = archive.measurements(run.context(ERROR, version)).values()
    ok = [one for one in found if one.value is not None]
    return run.family.space.codes([one.architecture for one in ok]), np.array([one.value for one in ok])


def latency_of(run: Run) -> Latency:
    """The latency model of a run."""
    kept = kept_model(run.directory / "latency-cpu.json")
    assert kept is not None, "give a run with -o latency:cpu"
    return Latency(kept[0], run.family, run.task, run.facts["data"]["channels"])


def search(run: Run, version: int) -> Picture:
    """Errors that a predictor tells of networks that it did not see; the archive, and what the search added to it."""
    codes, errors = measured(run, version)
    counts = stage_counts(run.family, run.task, run.facts["data"]["channels"])
    predictor = make("gaussian-process", run.family.space, 0, [counts])
    predicted = cross_val_predict(predictor, codes, errors, cv=KFold(5, shuffle=True, random_state=0))
    picture = Picture(720, 330, "predicted against measured errors, and what one search adds to the archive")
    ends = 10 * np.floor(errors.min() / 10), 10 * np.ceil(max(errors.max(), predicted.max()) / 10)
    ticks = np.arange(ends[0], ends[1] + 1, 20)
    left = Axes(picture, (60, 40, 240, 230), ends, ends)
    left.draw(ticks, ticks, ("measured error", "predicted"), (" %", " %"))
    picture.line([left.place(ends[0], ends[0]), left.place(ends[1], ends[1])])
    for error, told in zip(errors, predicted.clip(*ends), strict=True):
        picture.dot(*left.place(error, told), "one", opacity=0.8)
    costs = latency_of(run)(codes)
    right = Axes(picture, (400, 40, 300, 230), (costs.min() * 0.9, costs.max() * 1.1), ends, log=True)
    shown = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if costs.min() <= tick <= costs.max()]
    right.draw(shown, ticks, ("latency, ms (log)", "error, measured"), ("", " %"))
    with closing(run.archive()) as archive:
        before = set(archive.members(version - 1))
    new = np.array([arch not in before for arch in run.family.space.architectures(codes)])
    best = non_dominated(np.column_stack([errors, costs]))
    order = np.argsort(costs[best])
    picture.line([right.place(costs[best][i], errors[best][i]) for i in order])
    for cost, error, is_new in zip(costs, errors, new, strict=True):
        picture.dot(*right.place(cost, error), "two" if is_new else "one", opacity=0.85)
    picture.dot(410, 322, "one")
    picture.text(420, 326, "was there", "soft")
    picture.dot(510, 322, "two")
    picture.text(520, 326, "proposed by the last search", "soft")
    return picture


def adaptation(run: Run, first: int, last: int) -> Picture:
    """Shares of kernels and expansions among the members that training draws from, early and late."""
    space = run.family.space
    with closing(run.archive()) as archive:
        shares = [distribution(space, space.codes(archive.members(t))) for t in (first, last)]
    columns = range(2, len(space))
    picture = Picture(720, 330, "which options training draws, at the first adaptation and at a later one")
    for row, (p, name) in enumerate(zip(shares, (f"archive {first}", f"archive {last}"), strict=True)):
        top = 24 + 142 * row
        picture.text(0, top + 56, name, "bold")
        for place, column in enumerate(columns):
            x = 96 + 36 * place
            factors = dict(space.variables[column].factors)
            y = top + 112.0
            for option in range(space.upper[column] + 1):
                height = 112 * p[column, option]
                if not height or not option:
                    continue
                y -= height
                strength = 0.3 + 0.7 * factors["expansion"][option - 1] / 6
                picture.box(
                    x, y, 30, max(height - 1, 0.5), "one" if factors["kernel"][option - 1] == 3 else "two", strength
                )
            picture.box(x, top, 30, 112, "none", 0.35)
    for place, column in enumerate(columns):
        stage, _, position = space.variables[column].name.partition(".position")
        picture.text(111 + 36 * place, 296, f"{stage.removeprefix('stage')}.{position}", "soft middle")
    picture.dot(100, 320, "one")
    picture.text(110, 324, "kernel 3", "soft")
    picture.dot(190, 320, "two")
    picture.text(200, 324, "kernel 5", "soft")
    picture.text(280, 324, "the stronger the colour, the more channels inside; empty: absent", "soft")
    return picture


def archive(run: Run, versions: Sequence[int]) -> Picture:
    """Errors of the same architectures under one weights version after the other."""
    picture = Picture(720, 320, "errors of architectures under successive weights versions")
    found = [measured(run, version) for version in versions]
    errors = [dict(zip(map(tuple, codes.tolist()), values, strict=True)) for codes, values in found]
    everything = np.concatenate([values for _, values in found])
    ends = 10 * np.floor(everything.min() / 10), 10 * np.ceil(everything.max() / 10)
    axes = Axes(picture, (60, 40, 630, 220), (versions[0] - 0.3, versions[-1] + 0.3), ends)
    axes.draw(versions, np.arange(ends[0], ends[1] + 1, 20), ("weights version", "validation error"), ("", " %"))
    for before, after, version in zip(errors, errors[1:], versions, strict=False):
        for code in before.keys() & after.keys():
            picture.line([axes.place(version, before[code]), axes.place(version + 1, after[code])], "thin")
    for of, version in zip(errors, versions, strict=True):
        for error in of.values():
            picture.dot(*axes.place(version, error), "one", 3)
    picture.text(60, 316, "a dot a measurement, a line an architecture that was measured again", "soft")
    return picture


def objectives(run: Run) -> Picture:
    """Latency of random architectures over their multiply-adds, and the front's on the clock."""
    model = latency_of(run)
    madds = exact_counts(run.family, run.task, run.facts["data"]["channels"])["madds"]
    codes = run.space.sample(400, np.random.default_rng(0))
    x, y = madds(codes) / 1e6, model(codes)
    picture = Picture(720, 340, "latency over multiply-adds of 400 random architectures, and modelled against measured")
    left = Axes(picture, (60, 40, 300, 240), (0, np.ceil(x.max() / 10) * 10), (0, np.ceil(y.max() * 2) / 2))
    left.draw(
        np.arange(0, x.max() + 5, 20),
        np.arange(0, y.max() + 0.5, 0.5),
        ("multiply-adds, millions", "latency, ms"),
        ("", ""),
    )
    for a, b in zip(x, y, strict=True):
        picture.dot(*left.place(a, b), "one", 2.5, 0.6)
    networks = [one for one in read_front(run.directory)["networks"] if one.get("measured")]
    told = np.array([one["objectives"]["latency:cpu"] for one in networks])
    clock = np.array([one["measured"]["latency:cpu"]["value"] for one in networks])
    ends = 0.8 * min(told.min(), clock.min()), 1.25 * max(told.max(), clock.max())
    right = Axes(picture, (440, 40, 250, 240), ends, (np.log10(ends[0]), np.log10(ends[1])), log=True)
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if ends[0] <= tick <= ends[1]]
    right.draw(ticks, [], ("modelled, ms (log)", "on the clock, ms (log)"), ("", ""))
    for tick in ticks:
        at = right.place(ends[0], np.log10(tick))
        picture.line([at, (690, at[1])], "line faint")
        picture.text(434, at[1] + 4, f"{tick:g}", "soft end")
    picture.line([(440, 280), (690, 40)])
    for a, b in zip(told, clock, strict=True):
        picture.dot(*right.place(a, np.log10(b)), "two")
    return picture


NAMES = {
    "scan": "begin", "latency": "latency model", "probe": "begin", "tune": "whole network", "larger": "whole network",
    "body": "prepare", "prepare": "prepare", "measure": "measure", "fit": "search", "search": "search",
    "adapt": "adapt", "soft": "begin", "folds": "begin", "last": "front trains on", "classifiers": "test and report",
    "final": "test and report", "report": "test and report",
}  # fmt: skip


def budget(run: Run) -> Picture:
    """The phases of a run along its clock."""
    lines = (run.directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    phases = [event for event in map(json.loads, lines) if event["event"] == "phase" and event["phase"] in NAMES]
    rows = list(dict.fromkeys(NAMES.values()))
    end = max(event["used_s"] for event in phases)
    picture = Picture(720, 26 * len(rows) + 56, "the phases of a run along its clock")
    axes = Axes(picture, (130, 10, 570, 26 * len(rows)), (0, end), (0, 1))
    for row, name in enumerate(rows):
        picture.text(120, 28 + 26 * row, name, "end")
        picture.line([(130, 36 + 26 * row), (700, 36 + 26 * row)], "line faint")
    for event in phases:
        row = rows.index(NAMES[event["phase"]])
        start = axes.place(event["used_s"] - event["seconds"], 0)[0]
        width = max(axes.place(event["used_s"], 0)[0] - start, 1.0)
        picture.box(start, 14 + 26 * row, width, 18, "two" if NAMES[event["phase"]] == "adapt" else "one")
    for minute in range(0, int(end / 60) + 1, 5):
        picture.text(axes.place(60 * minute, 0)[0], 26 * len(rows) + 28, f"{minute}", "soft middle")
    picture.text(415, 26 * len(rows) + 50, "minutes of the run", "middle")
    return picture


def statistics() -> Picture:
    """What calibration pictures are worth, by benchmarks/calibration.py."""
    table = json.loads((ROOT / "benchmarks/results/calibration-dtd10.json").read_text())["table"][::-1]
    picture = Picture(720, 320, "error of subnets by the number of calibration pictures")
    pictures = [row["pictures"] for row in table]
    axes = Axes(picture, (60, 40, 560, 220), (pictures[0] * 0.9, pictures[-1] * 1.1), (0, 50), log=True)
    axes.draw(
        pictures, range(0, 51, 10), ("pictures that a subnet's statistics are estimated on (log)", "error"), ("", " %")
    )
    for key, name in (("smallest", "smallest"), ("mean", "mean of 20"), ("largest", "largest")):
        kind = "two" if key == "mean" else "one"
        spots = [axes.place(row["pictures"], row[key]) for row in table]
        picture.line(spots)
        for spot in spots:
            picture.dot(*spot, kind)
        picture.text(spots[-1][0] + 12, spots[-1][1] + 4, name, "soft")
    return picture


def report_png(run: Run, path: Path) -> None:
    """The first screen of a run's report, in Chromium; nothing where there is none."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no chromium: report.png stays as it is")
        return
    page = write_report(run.directory).resolve().as_uri()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=6000"]
    subprocess.run(
        [browser, *options, "--window-size=1200,860", f"--screenshot={path}", page], check=True, capture_output=True
    )
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    run = Run(parser.parse_args().run)
    with closing(run.archive()) as opened:
        last = max(facts["iteration"] for facts in opened.iterations())
    to = ROOT / "docs" / "pictures"
    supernet(run).write(to / "supernet.svg")
    search_space().write(to / "search-space.svg")
    search(run, min(3, last)).write(to / "search.svg")
    adaptation(run, 1, last).write(to / "adaptation.svg")
    archive(run, range(min(6, last) + 1)).write(to / "archive.svg")
    objectives(run).write(to / "objectives.svg")
    budget(run).write(to / "budget.svg")
    statistics().write(to / "statistics.svg")
    report_png(run, to / "report.png")
    (to / "front.svg").write_text(front_svg(read_front(run.directory)), encoding="utf-8")


if __name__ == "__main__":
    main()
