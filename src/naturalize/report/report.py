"""One self-contained page on a run: what was found, where it fails, how it was made."""

import html
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from naturalize.data.masks import palette
from naturalize.data.named import MEAN_PER_CLASS
from naturalize.errors import UserError, command
from naturalize.files import write_text
from naturalize.numbers import percent, plural, standard_error
from naturalize.objectives import BALANCED_ERROR, COST
from naturalize.report.explorer import can_be_limited, clocks_of, explorer_html, objectives_of, others_of
from naturalize.report.figures import (
    axes,
    clocked,
    counts,
    errors_on,
    front_figure,
    how_measured,
    hypervolume_figure,
    measured_besides,
    shown,
    upwards,
    value,
    words,
)
from naturalize.report.insides import Insides, look_into
from naturalize.report.making import making_html
from naturalize.report.mistakes import (
    balanced_error,
    class_images,
    error_against_majority,
    is_majority,
    packed_confusions,
    scores_of,
    unsure,
    warnings,
)
from naturalize.report.page import html_page, json_text, library, run_name
from naturalize.report.pictures import pictures_of
from naturalize.report.reading import read_events, read_front, read_settings
from naturalize.report.structure import KEY, structures
from naturalize.run.front import PUBLISHED, WHOLE, most_accurate
from naturalize.tasks import kind_of_front

# A page that can be sent by mail. Confusions and pictures share what the library and the text leave.
PAGE_BYTES = 7_900_000
SCRIPTS = ["structure.js", "mistakes.js", "explorer.js", "making.js", "page.js"]
ORIGINS = {PUBLISHED: "as published, with a classifier of its own", WHOLE: "the whole network, fine-tuned by itself"}
UNDER_WAY = "running"  # state of a front that was read off the archive of a run that goes on
REFRESH_S = 10

Part = TypeVar("Part")


def write_report(run_directory: Path, under_way: dict[str, Any] | None = None, refresh: bool = False) -> Path:
    """Write `report.html` from the files of a run directory, and return its path.

    Needs `front.json`; `run.toml`, `events.jsonl`, `archive.sqlite` and `pictures/` add to it, so it works on a moved
    copy and without the data. The page opens without a network. Raises `UserError` where there is no front yet.

    Args:
        run_directory: of the run.
        under_way: the front of a run that goes on, in place of front.json.
        refresh: whether the page reads itself anew, since it is being written anew.
    """
    front = under_way or read_front(run_directory)
    chosen = best_network(front)
    insides = look_into(run_directory)
    made = {
        "predictions": part(insides, lambda run: run.predictions()) or [],
        "distributions": part(insides, lambda run: run.distributions()),
        "clocks": clocks_of(front),
    }
    objectives = objectives_of(front)
    drawn = part(insides, lambda run: structures(run, run.archs(architectures(front))))
    sections = [
        _head(front, run_directory, refresh),
        explorer_html(front, objectives),
        _chosen(front, chosen, drawn is not None),
        _networks(front, run_directory),
        _mistakes(front),
        making_html(front, read_events(run_directory), made),
        _settings(read_settings(run_directory)),
        _notes(front),
    ]
    body = "\n".join(sections)
    left = PAGE_BYTES - len(library().encode()) - len(body.encode()) - 100_000
    confusions, all_pairs = packed_confusions(front, limit=left // 2)
    data: dict[str, Any] = {
        "chosen": chosen,
        "refresh": REFRESH_S if refresh else None,
        "export": command("export", run_name(run_directory)),
        "classes": front.get("class_names") or [],
        "images": class_images(front),
        "unit": kind_of_front(front).unit,
        "score": kind_of_front(front).score,
        "front": front_figure(front),
        "objectives": objectives,
        "others": part(insides, lambda run: others_of(front, run)) or [],
        "structures": drawn,
        "hypervolume": hypervolume_figure(front),
        **made,
        "confusions": confusions,
        "allPairs": all_pairs,
        "networks": [_facts(front, network) for network in front["networks"]],
    }
    left -= len(json_text(data).encode())
    data["pictures"] = pictures_of(run_directory, front, chosen, left)
    page = html_page(f"{run_name(run_directory)}: {headline(front)}", body, data, SCRIPTS)
    path = run_directory / "report.html"
    write_text(path, page)
    return path


def part(insides: Insides | None, make: Callable[[Insides], Part]) -> Part | None:
    """A part of a page; None where the files that it is made of are missing or damaged, as in a moved copy."""
    if insides is None:
        return None
    try:
        return make(insides)
    except (UserError, OSError, sqlite3.Error, ValueError, KeyError, TypeError):
        return None


def architectures(front: dict[str, Any]) -> list[str]:
    """Strings of the networks of a front."""
    return [str(network.get("architecture")) for network in front["networks"]]


def _facts(front: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    """What the page's scripts know of a network besides its objectives."""
    error, images = _selected_by(network, upwards(front))
    return {
        "architecture": network.get("architecture"),
        "title": _title(front, network),
        "origin": ORIGINS.get(str(network.get("origin")), ""),
        **{split: errors_on(split, network) for split in ("test", "before")},
        "selected": [error, _spread(network, "val", error, images), images, network.get(COST) or 0],
        "error": percent(network.get("test_error")),
        "balanced": percent(balanced_error(network)),
        "unsure": unsure(network),
        "scores": scores_of(front, network),
        "warnings": warnings(front, network),
        "worst": network.get("test_worst") or [],
    }


def headline(front: dict[str, Any]) -> str:
    """The result in one sentence: 9 networks from 0.2 M to 6.1 M multiply-adds; test error 1.9 % to 5.6 %."""
    networks = front["networks"]
    across, _ = axes(front)
    costs = sorted(cost for cost in (value(network, across) for network in networks) if cost is not None)
    split = "test" if _has_test(front) else "val"
    errors = sorted(network[f"{split}_error"] for network in networks if network.get(f"{split}_error") is not None)
    sentence = plural(len(networks), "network")
    if costs:
        between = _range([shown(across, cost) for cost in costs])
        sentence += f" {'of' if between == shown(across, costs[0]) else 'from'} {between} {words(across)}"
    if errors:
        sentence += f"; {'test' if split == 'test' else 'validation'} error {_range([percent(e) for e in errors])}"
    return sentence


def best_network(front: dict[str, Any]) -> int:
    """Position of the most accurate network, as `run.front.most_accurate` tells."""
    return _most_accurate(front["networks"], upwards(front))


def requirements(front: dict[str, Any], network: dict[str, Any]) -> list[str] | None:
    """The fewest `--require` under which `network` is chosen; None where no such limits single it out."""

    def cost(other: dict[str, Any], name: str) -> float:
        number = value(other, name)
        return float("inf") if number is None else number

    names = [name for name in front.get("objectives") or [] if can_be_limited(front, name)]
    names += [name for name in counts(front) if name not in names]
    for n in range(len(names) + 1):
        limits = names[:n]
        meeting = [
            other for other in front["networks"] if all(cost(other, name) <= cost(network, name) for name in limits)
        ]
        if meeting[_most_accurate(meeting, upwards(front))] is network:
            return [f"{name}<={cost(network, name)!r}" for name in limits]
    return None


def _most_accurate(networks: list[dict[str, Any]], by: str) -> int:
    """Position of the most accurate network by an error over all views, as in selection."""
    errors, images = zip(*(_selected_by(network, by) for network in networks), strict=True)
    spreads = [network.get("val_spread") for network in networks]
    return most_accurate(errors, [network.get(COST) or 0 for network in networks], images, spreads)


def _selected_by(network: dict[str, Any], by: str) -> tuple[float, int]:
    """The validation error that networks are selected by, and its number of images."""
    if by == BALANCED_ERROR:
        return network["objectives"][by], network.get("val_images_balanced") or network["val_images"]
    seen = [network[key] for key in ("val_error_views", "val_error") if network.get(key) is not None]
    return seen[0] if seen else 101.0, network.get("val_images") or 1


def _head(front: dict[str, Any], run_directory: Path, refresh: bool) -> str:
    splits = front.get("splits") or {}
    names = {"train": "training", "val": "validation", "test": "test"}
    images = ", ".join(f"{splits[key]:,} {names[key]}" for key in names if isinstance(splits.get(key), int))
    facts = [plural(len(front.get("class_names") or []), "class", "classes"), f"{images} images" if images else ""]
    majority = error_against_majority(front, front["networks"][0])
    if majority:
        facts.append(f"{kind_of_front(front).blind} is {percent(majority[1])} wrong")
    if front.get("requirements"):
        facts.append(f"required: {', '.join(front['requirements'])}")
    if rivals := _rivals(front):
        facts.append(rivals)
    facts.append(f"supernet {front.get('supernet', '–')}, weights version {front.get('weights_version', '–')}")
    items = [f"<li>{html.escape(fact)}</li>" for fact in facts if fact]
    if notes := notes_of(front):
        items.append(f'<li><a href="#notes">{plural(len(notes), "note")} on the data and the run</a></li>')
    banners = []
    if front.get("state") == "stopped":
        banners.append(
            "<strong>This run was stopped before its end.</strong> The numbers are validation numbers; there is no "
            "test error yet. <code>naturalize resume</code> goes on with it."
        )
    elif front.get("state") == UNDER_WAY:
        anew = f", and reads itself anew every {REFRESH_S} seconds" if refresh else " when it was written"
        banners.append(f"<strong>This run goes on.</strong> The page shows what was measured so far{anew}.")
    elif not _has_test(front):
        banners.append("<strong>No test error was measured.</strong> The numbers are validation numbers.")
    lost = [network for network in front["networks"] if is_majority(front, network)]
    if lost:
        who = "No network is" if len(lost) == len(front["networks"]) else f"{len(lost)} of them are not"
        banners.append(
            f"<strong>{who} clearly better than {kind_of_front(front).blind}.</strong> Look at the "
            "error by class below before using one."
        )
    return f"""<header>
<p class="run">naturalize · {html.escape(run_name(run_directory))}</p>
<h1>{html.escape(headline(front)).replace("multiply-adds", "<span>multiply-adds</span>")}</h1>
<ul class="facts">{"".join(items)}</ul>
{"".join(f'<p class="banner" role="note">{banner}</p>' for banner in banners)}
<noscript><p class="banner">Pictures and the details of a network need JavaScript, which is off here.</p></noscript>
</header>"""


def _rivals(front: dict[str, Any]) -> str:
    """What less than a transfer reaches on validation, beside the front's best; empty where it is not known."""
    best = front["networks"][best_network(front)]
    found = [
        ("a linear probe of the published network", front.get("probe_error")),
        ("that network fine-tuned by itself for a while", front.get("whole_error")),
        ("the front's most accurate", best.get("val_error_views")),
    ]
    told = [f"{what} {percent(error)}" for what, error in found if error is not None]
    return f"validation errors: {', '.join(told)}" if len(told) > 1 else ""


def _networks(front: dict[str, Any], run_directory: Path) -> str:
    asked, others = front.get("objectives") or [], measured_besides(front)
    names = [*(name for name in counts(front) if name in (COST, "params", *asked)), *others]
    has_test = _has_test(front)
    timed = [name for name in names if any(clocked(network, name) is not None for network in front["networks"])]
    heads = ["", *map(words, names), *(f"{words(name)} {how_measured(name)}" for name in timed)]
    heads += ["resolution", "validation error"]
    heads += ["test error", "balanced test error"] if has_test else []
    rows = []
    for index, network in enumerate(front["networks"]):
        cells = [
            f'<button type="button" data-network="{index}">{index + 1}</button>',
            *(shown(name, value(network, name)) for name in names),
            *(shown(name, clocked(network, name)) for name in timed),
            f"{network.get('resolution', '–')}\u00a0px",
            _with_spread(network, "val"),
        ]
        if has_test:
            cells += [_with_spread(network, "test"), percent(balanced_error(network))]
        spans = [f"<span>{html.escape(piece)}</span>" for piece in _command(front, network, run_directory)]
        architecture = html.escape(str(network.get("architecture")))
        rows.append(
            f'<tr data-network="{index}" title="architecture {architecture}">'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + f'<td class="command">{_code(spans)}</td></tr>'
        )
    by_class = " The field reports the mean over classes of these data: 100 % less the balanced test error."
    by_class *= has_test and front.get("metric") == MEAN_PER_CLASS
    return f"""<section>
<h2>The networks</h2>
<p class="lead">± is one standard error for the number of images: smaller differences may be chance.{by_class}</p>
<div class="scroll tall"><table class="numbers" id="networks">
<thead><tr>{"".join(f"<th scope='col'>{html.escape(head)}</th>" for head in heads)}
<th scope="col" class="command">export it</th></tr></thead>
<tbody>
{chr(10).join(rows)}
</tbody></table></div>
</section>"""


def _chosen(front: dict[str, Any], chosen: int, has_structures: bool) -> str:
    options = "".join(
        f'<option value="{index}"{" selected" if index == chosen else ""}>{index + 1}: '
        f"{html.escape(_title(front, network))}</option>"
        for index, network in enumerate(front["networks"])
    )
    return f"""<section id="network">
<h2>The chosen network</h2>
<p><label>Network <select id="choice">{options}</select></label></p>
<div id="warnings"></div>
<p id="facts"></p>
<p id="export"><code></code></p>
<p class="lead">{KEY if has_structures else ""}</p>
<div id="structure"></div>
</section>"""


def _swatch(front: dict[str, Any], index: int) -> str:
    """The colour of a class in masks; nothing where there are none."""
    if not kind_of_front(front).by_pixel:
        return ""
    red, green, blue = palette()[index].tolist()
    return f'<span class="swatch" style="background: rgb({red}, {green}, {blue})"></span>'


TAKEN = '<td class="taken"></td>'
PAIRS = '<div><h3>Most frequent confusions</h3><ol id="pairs"></ol></div>'
MATRIX = """<h3>Confusion matrix</h3>
<p class="lead" id="confusion-lead"></p>
<div id="confusion" class="plot" role="img"
aria-label="Confusion matrix; its largest numbers are listed above"></div>"""


def _mistakes(front: dict[str, Any]) -> str:
    images, kind = class_images(front), kind_of_front(front)
    score, confused = kind.score or "error", any(n.get("test_confusion") is not None for n in front["networks"])
    classes = "".join(
        f'<tr data-class="{index}"><th scope="row">{_swatch(front, index)}{html.escape(name)}</th>'
        f"<td>{images[index]:,}</td>"
        f'<td class="bar"></td>{TAKEN if confused else ""}</tr>'
        for index, name in enumerate(front.get("class_names") or [])
        if index < len(images)
    )
    if not classes:
        reasons = {"stopped": "the run was stopped before its test", UNDER_WAY: "the run is yet to come to them"}
        reason = reasons.get(str(front.get("state")), "there was no test")
        details = f"<p>Errors by class, confusions and worst images come from test images; {reason}.</p>"
    else:
        details = f"""<div class="columns">
<div><h3>{score[0].upper()}{score[1:]} by class</h3>
<p class="lead" id="errors"></p>
<div class="scroll tall"><table class="numbers classes" id="classes">
<thead><tr><th scope="col">class</th><th scope="col">test {kind.unit}</th>
<th scope="col">{kind.score or "wrong"}</th>
{'<th scope="col" class="taken">most often taken for</th>' if confused else ""}</tr></thead>
<tbody>{classes}</tbody></table></div></div>
{PAIRS if confused else ""}
</div>
{MATRIX if confused else ""}
<h3>Worst test images</h3>
<p class="lead">{kind.worst}</p>
<div id="worst"></div>"""
    return f"""<section id="mistakes">
<h2>Where it fails</h2>
<p class="lead"><span id="whose"></span> {_against_majority(front)}</p>
{details}
</section>"""


def _settings(settings: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(text)}</td></tr>'
        for name, text in _flat(settings)
    )
    table = f'<div class="scroll"><table class="settings"><tbody>{rows}</tbody></table></div>' if rows else ""
    return f"""<section>
<h2>Settings</h2>
{table or "<p>No readable run.toml.</p>"}
</section>"""


def notes_of(front: dict[str, Any]) -> list[str]:
    """What was skipped or could not be measured, in sentences."""
    unmeasured = front.get("unmeasured") or {}
    lost = [f"{words(name)} could not be measured on the front: {why}" for name, why in unmeasured.items()]
    return [*map(str, front.get("notes") or []), *lost]


def _notes(front: dict[str, Any]) -> str:
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in notes_of(front))
    return f"""<section id="notes">
<h2>Skipped and noted</h2>
{f"<ul>{notes}</ul>" if notes else "<p>Nothing was skipped.</p>"}
</section>
<footer>Written by naturalize {html.escape(str(front.get("naturalize", "")))}.</footer>"""


def _has_test(front: dict[str, Any]) -> bool:
    return any(network.get("test_error") is not None for network in front["networks"])


def _title(front: dict[str, Any], network: dict[str, Any]) -> str:
    across, _ = axes(front)
    split = "test" if network.get("test_error") is not None else "val"
    error = percent(network.get(f"{split}_error"))
    name = "test" if split == "test" else "validation"
    return f"{shown(across, value(network, across))} {words(across)}, {error} {name} error"


def _range(texts: Sequence[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _with_spread(network: dict[str, Any], split: str) -> str:
    error, images = network.get(f"{split}_error"), network.get(f"{split}_images")
    if error is None or not images:
        return percent(error)
    return f'{percent(error)} <span class="spread">±\u00a0{_spread(network, split, error, images):.1f}</span>'


def _spread(network: dict[str, Any], split: str, error: float, images: int) -> float:
    """Standard error of a network's error on a split: the one that is kept, or that of a share of images."""
    kept = network.get(f"{split}_spread")
    return float(standard_error(error, images) if kept is None else kept)


def _against_majority(front: dict[str, Any]) -> str:
    numbers, blind = error_against_majority(front, front["networks"][0]), kind_of_front(front).blind
    return f"{blind[0].upper()}{blind[1:]} would be {percent(numbers[1])} wrong." if numbers else ""


def _command(front: dict[str, Any], network: dict[str, Any], run_directory: Path) -> list[str]:
    """A command that exports `network`, in parts between which a line may break; empty where no command does."""
    limits = requirements(front, network)
    if limits is None:
        return []
    required = (f'--require "{limit}"' for limit in limits)
    return [command("export", run_name(run_directory)), *required, "--to model.onnx"]


def _code(spans: list[str]) -> str:
    return f"<code>{' '.join(spans)}</code>" if spans else "–"


def _flat(table: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Rows of nested tables, each a name as `search.population` and its value."""
    rows: list[tuple[str, str]] = []
    for key, entry in table.items():
        if isinstance(entry, dict):
            rows += _flat(entry, f"{above}{key}.")
        elif isinstance(entry, list):
            rows.append((above + key, ", ".join(map(str, entry))))
        else:
            rows.append((above + key, str(entry).lower() if isinstance(entry, bool) else str(entry)))
    return rows
