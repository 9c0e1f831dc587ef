"""The page of a joint run: every network by every data set, and one that suits all (Lu et al., Figure 26)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import command
from naturalize.files import write_text
from naturalize.joint.front import Front, ranks, read_joint_front
from naturalize.joint.table import costs_of, errors_by, trade_off_of
from naturalize.numbers import duration, percent, plural
from naturalize.objectives import COST, objective_of
from naturalize.report.figures import shown, words
from naturalize.report.insides import Insides
from naturalize.report.page import html_page, run_name
from naturalize.report.reading import phase_seconds, read_events
from naturalize.report.structure import KEY, structures

Floats = NDArray[np.float64]

WIDTH, HEIGHT, TOP, BOTTOM, EDGE = 900, 340, 52, 26, 70  # of the parallel coordinates, in their own pixels
TRAINING = ("tune", "prepare", "adapt", "last", "classifiers")  # phases
MEASURING = ("probe", "larger", "measure", "besides", "final")


def write_joint_report(directory: Path, at: str | None = None) -> Path:
    """Write `report.html` of a joint run, and return its path.

    Args:
        directory: of the run.
        at: cost that the trade-off network is chosen for, as `madds=20M`; the median of the front unless told.

    Raises `UserError` where the run is not finished, and for a cost that is none.
    """
    front = read_joint_front(directory)
    found, why = trade_off_of(front, at)
    row = front["networks"].index(found)
    near = nearest_alone(front, row)
    sets = list(front["sets"])
    body = f"""<header>
<p class="run">naturalize · {html.escape(run_name(directory))} · {html.escape(front["supernet"])}</p>
<h1>{plural(len(front["networks"]), "network")} for {len(sets)} data sets at once</h1>
<p class="lead">One search found them for {html.escape(", ".join(sets))}. Each has weights of its own for every data
set, in the run of that data set. None is better than another by all objectives at once.</p>
<p class="banner">The trade-off: <b>{html.escape(found["architecture"])}</b>, {html.escape(why.partition(": ")[2])}.
Export it for a data set by <code>{html.escape(command("export", f"{run_name(directory)}/{sets[0]}"))} --architecture
{html.escape(found["architecture"])} --to model.onnx</code></p>
{notes_html(front)}
</header>
<section><h2>Side by side</h2>
<p class="lead">A line is a network. Each axis runs over the values on the front, the lowest, which are the best, below;
errors are on validation. The trade-off is drawn bold. Point at a row of the table below to see its line.</p>
{parallel_svg(front, row)}</section>
<section><h2>Networks</h2>
<p class="lead">Error on {"test" if is_tested(front) else "validation"} by data set, and the rank by validation, 1 for
the lowest of all: the darker, the better. The last column is the mean of the ranks.</p>
<div class="scroll">{ranks_html(front, row)}</div></section>
<section><h2>One for all, and the best for each</h2>
<p class="lead">The trade-off network, and for every data set the network that is best for it alone at no more
{words(COST)}. {KEY}</p>
{alone_html(front, row, near)}</section>
<section><h2>How it was found</h2>
{making_html(directory, front)}</section>"""
    insides = Insides(directory / sets[0])
    distinct = list(dict.fromkeys([row, *near.values()]))
    texts = [front["networks"][one]["architecture"] for one in distinct]
    data = {"compared": [structures(insides, insides.archs([text])) for text in texts]}
    scripts = ["structure.js", "compare.js", "joint.js"]
    path = directory / "report.html"
    write_text(path, html_page(f"{run_name(directory)}: {len(sets)} data sets", body, data, scripts, plots=False))
    return path


def is_tested(front: Front) -> bool:
    """Whether every network has a test error for every data set."""
    return all(own["test_error"] is not None for network in front["networks"] for own in network["sets"].values())


def notes_html(front: Front) -> str:
    """What a user should know about the result."""
    return "".join(f'<p class="banner">{html.escape(note)}.</p>' for note in front["notes"])


def nearest_alone(front: Front, row: int) -> dict[str, int]:
    """By data set, the row of the network that is best for it alone, of those that cost no more than one network.

    Args:
        front: content of front.json.
        row: of that network.
    """
    costs = costs_of(front, COST)
    allowed = np.flatnonzero(costs <= costs[row])
    names, errors = errors_by(front)
    first = {name.partition("@")[2]: column for column, name in reversed(list(enumerate(names)))}
    return {name: int(allowed[errors[allowed, first[name]].argmin()]) for name in front["sets"]}


def parallel_svg(front: Front, row: int) -> str:
    """Parallel coordinates of all objectives as a picture; the line of one row is bold."""
    names = front["objectives"]
    values = np.array([[network["objectives"][name] for name in names] for network in front["networks"]])
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    x = np.linspace(EDGE, WIDTH - EDGE, len(names))
    y = HEIGHT - BOTTOM - (values - low) / span * (HEIGHT - TOP - BOTTOM)
    axes = "".join(axis_svg(name, *ends) for name, *ends in zip(names, x, low, high, strict=True))
    order = [*(one for one in range(len(values)) if one != row), row]  # the bold one is drawn last, above all others
    lines = "".join(line_svg(one, x, y[one], one == row) for one in order)
    told = f"Parallel coordinates of {len(values)} networks by {len(names)} objectives"
    return (
        f'<div class="scroll"><svg class="parallel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
        + (f"{axes}{lines}</svg></div>")
    )


def axis_svg(name: str, x: float, low: float, high: float) -> str:
    """One axis, its name and the values at its ends."""
    base, _, of = name.partition("@")
    told = objective_of(base)
    title = html.escape(of or told.words)
    above = html.escape("" if not of else told.words)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x:.1f}" y="14">{title}</text><text class="soft" x="{x:.1f}" y="28">{above}</text>'
        f'<text class="soft" x="{x:.1f}" y="{TOP - 8}">{html.escape(told.shown(high))}</text>'
        f'<text class="soft" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{html.escape(told.shown(low))}</text>'
    )


def line_svg(number: int, x: Floats, y: Floats, bold: bool) -> str:
    """The line of one network."""
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
    return f'<polyline data-network="{number}"{" class=bold" * bold} points="{points}"/>'


def ranks_html(front: Front, chosen: int) -> str:
    """The networks with errors by data set, each cell shaded by its rank."""
    names, errors = errors_by(front)
    found = ranks(errors)
    tested, n = is_tested(front), len(front["networks"])
    heads = "".join(f'<th scope="col">{html.escape(label(name))}</th>' for name in names)
    rows = []
    for number, network in enumerate(front["networks"]):
        cells = "".join(
            f'<td style="--rank:{(n - rank) / max(1, n - 1):.2f}">{percent(value_shown(network, name, tested))} '
            f'<span class="spread">{rank:g}</span></td>'
            for name, rank in zip(names, found[number].tolist(), strict=True)
        )
        mark = ' class="chosen"' if number == chosen else ""
        rows.append(
            f'<tr data-network="{number}"{mark}><th scope="row">{html.escape(network["architecture"])}</th>'
            f"<td>{network['resolution']}</td><td>{shown(COST, network[COST])}</td>{cells}"
            f"<td>{found[number].mean():.1f}</td></tr>"
        )
    return f"""<table class="numbers ranks"><thead><tr><th scope="col">architecture</th><th scope="col">px</th>
<th scope="col">{words(COST)}</th>{heads}<th scope="col">mean rank</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>"""


def label(name: str) -> str:
    """An error's name over its column: the data set's alone for plain error."""
    base, _, of = name.partition("@")
    return of if base == "error" else f"{of}, {objective_of(base).words}"


def value_shown(network: dict[str, Any], name: str, tested: bool) -> float | None:
    """The error of a network that its cell shows."""
    base, _, of = name.partition("@")
    own = network["sets"][of]
    key = f"{'test' if tested else 'val'}_{base.replace('-', '_')}"
    found: float | None = own[key]
    return found


def alone_html(front: Front, row: int, near: dict[str, int]) -> str:
    """The cards of the trade-off network and of the best for each data set; those that are the same have one card."""
    cards, distinct = [], list(dict.fromkeys([row, *near.values()]))
    for place, one in enumerate(distinct):
        network = front["networks"][one]
        best_for = [name for name, other in near.items() if other == one]
        title = "the trade-off" * (one == row) + " and " * (one == row and bool(best_for))
        title += f"best for {', '.join(best_for)}" * bool(best_for)
        split = "test" if is_tested(front) else "val"
        told = ", ".join(f"{name} {percent(own[f'{split}_error'])}" for name, own in network["sets"].items())
        cards.append(
            f"<div><h3>{html.escape(title[:1].upper() + title[1:])}</h3>"
            f'<p class="lead">{html.escape(network["architecture"])}: '
            f"{shown(COST, network[COST])} {words(COST)}; {split} error {html.escape(told)}</p>"
            f'<div id="structure{place}"></div></div>'
        )
    return f'<div class="compared">{"".join(cards)}</div>'


def making_html(directory: Path, front: Front) -> str:
    """How the mean hypervolume grew, and what the time went to, by data set."""
    grown = ", ".join(f"{fact['hypervolume']:.3f}" for fact in front["hypervolume"])
    rows, sums = [], np.zeros(3)
    for name in front["sets"]:
        found = divided(phase_seconds(read_events(directory / name)))
        sums += found
        rows.append(time_row(name, found))
    common = divided(phase_seconds_of_all(directory))
    rows.append(time_row("search for all", common))
    sums += common
    share = 100 * sums[2] / max(1e-9, sums.sum())
    return f"""<p class="lead">Mean over the data sets of the hypervolume of error and {words(COST)}, by measuring
pass: {grown}. Outside training and measuring went {share:.0f}% of the time.</p>
<div class="scroll"><table class="numbers"><thead><tr><th></th><th scope="col">training</th>
<th scope="col">measuring</th><th scope="col">all else</th></tr></thead><tbody>{"".join(rows)}</tbody>
<tfoot>{time_row("together", sums)}</tfoot></table></div>"""


def phase_seconds_of_all(directory: Path) -> dict[str, float]:
    """Seconds by phase of the joint run's own work, which no data set has done."""
    found = phase_seconds(read_events(directory))
    return {name: seconds for name, seconds in found.items() if name in ("fit", "search", "report")}


def divided(seconds: dict[str, float]) -> Floats:
    """Seconds of training, of measuring, and of all else."""
    training = sum(value for name, value in seconds.items() if name in TRAINING)
    measuring = sum(value for name, value in seconds.items() if name in MEASURING)
    return np.array([training, measuring, sum(seconds.values()) - training - measuring])


def time_row(name: str, seconds: Sequence[float] | Floats) -> str:
    """A row of the table of times."""
    cells = "".join(f"<td>{duration(value)}</td>" for value in seconds)
    return f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'
