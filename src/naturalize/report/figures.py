"""Pictures of a front. A figure is Plotly's JSON; a colour such as `@val` is a name of page.css, painted by page.js."""

import html
import math
from collections.abc import Sequence
from typing import Any

from naturalize.errors import UserError
from naturalize.numbers import count, percent
from naturalize.objectives import (
    BALANCED_ERROR,
    COST,
    ERROR,
    INT8_ERROR,
    Objective,
    deciding_error,
    objective_of,
    of_kind,
)
from naturalize.run.front import PUBLISHED, TRANSFER, WHOLE

Figure = dict[str, Any]
# Above this ratio of largest to smallest, equal factors are drawn as equal distances.
WIDE = 5


def words(objective: str) -> str:
    """An objective in words, as multiply-adds; its name where a newer naturalize wrote it."""
    found = known(objective)
    return found.words if found else objective


def known(objective: str) -> Objective | None:
    """The description of an objective; None where a newer naturalize wrote it."""
    try:
        return objective_of(objective)
    except UserError:
        return None


def is_error(objective: str) -> bool:
    """Whether an objective is an error, which is drawn upwards: `error`, `error@task`."""
    return objective.split("@")[0] == ERROR


def value(network: dict[str, Any], objective: str) -> float | None:
    """A network's value of an objective; for error and balanced error, that on validation as deployed."""
    if is_error(objective):
        return network.get("val_error")
    if objective == BALANCED_ERROR:
        return network.get("val_balanced_error")
    return network.get(objective, (network.get("objectives") or {}).get(objective))


def clocked(network: dict[str, Any], objective: str) -> float | None:
    """What was measured on the front of an objective that the search had otherwise; None where it was not."""
    return ((network.get("measured") or {}).get(objective) or {}).get("value")


def how_measured(objective: str) -> str:
    """What was measured on the front, in words: an int8 error as it is exported, all others by a clock."""
    return "as exported" if objective == INT8_ERROR else "on the clock"


def shown(objective: str, number: float | None) -> str:
    """A value of an objective with its unit."""
    if number is None:
        return "–"
    found = known(objective)
    return found.shown(number) if found else count(number)


def counts(front: dict[str, Any]) -> list[str]:
    """Exact objectives that every network of a front carries; an older naturalize counted fewer."""
    return [name for name in of_kind("exact") if all(value(network, name) is not None for network in front["networks"])]


def measured_besides(front: dict[str, Any]) -> list[str]:
    """Objectives of a front that are no counts, besides error."""
    names = front.get("objectives") or []
    return [name for name in names if not is_error(name) and name not in of_kind("exact")]


def upwards(front: dict[str, Any]) -> str:
    """The error that is drawn upwards: the one that decides."""
    return deciding_error(front.get("objectives") or [])


def errors_on(split: str, network: dict[str, Any]) -> dict[str, float | None]:
    """The errors of a network by objective on `test`, or on validation `before` fine-tuning; None where not known."""
    if split == "before":
        return {ERROR: (network.get("before_finetuning") or {}).get("val_error"), BALANCED_ERROR: None}
    return {ERROR: network.get("test_error"), BALANCED_ERROR: network.get("test_balanced_error")}


def axes(front: dict[str, Any]) -> tuple[str, str | None]:
    """The objectives drawn to the right and as colour: those besides the one drawn upwards, else multiply-adds."""
    others = [name for name in front.get("objectives") or [] if not is_error(name) and name != upwards(front)]
    # An objective that no network carries cannot be drawn; exact counts are always there.
    others = [name for name in others if any(value(network, name) is not None for network in front["networks"])]
    others.sort(key=lambda name: name in (BALANCED_ERROR, INT8_ERROR))  # costs first: an error is drawn upwards
    return (others[0] if others else COST), (others[1] if len(others) > 1 else None)


SYMBOLS = {TRANSFER: "circle", PUBLISHED: "square", WHOLE: "triangle-up"}  # of points, by origin


def axis_of(objective: str, numbers: Sequence[float | None]) -> Figure:
    """The axis of an objective for its values on a front; a log scale where these differ widely."""
    # Around a single point Plotly would draw a scale of thousandths.
    scale: Figure = {"rangemode": "tozero"} if len(numbers) == 1 else {}
    if is_error(objective):
        return {**scale, "title": {"text": "error"}, "ticksuffix": " %"}
    positive = [number for number in numbers if number is not None and number > 0]
    log = bool(positive) and len(positive) == len(numbers) and max(positive) > WIDE * min(positive)
    axis = {
        **scale,
        "title": {"text": words(objective) + (", log scale" if log else "")},
        "tickformat": _ticks(positive),
        **({"ticksuffix": " %"} if objective in (BALANCED_ERROR, INT8_ERROR) else {}),
    }
    if log:
        axis |= {"type": "log", "dtick": "D2" if max(positive) < 100 * min(positive) else 1}
    return axis


def front_figure(front: dict[str, Any]) -> Figure:
    """Error over the cost of each network, on validation and on test; a third objective is the colour.

    It is what a page opens with; explorer.js puts other objectives on its axes.
    """
    (across, colour), up = axes(front), upwards(front)
    networks = sorted(enumerate(front["networks"]), key=lambda pair: value(pair[1], across) or 0)
    x = [value(network, across) for _, network in networks]
    line = "markers" if colour or len(networks) == 1 else "lines+markers"
    common = {
        "type": "scatter",
        "mode": line,
        "x": x,
        "customdata": [index for index, _ in networks],
        "hovertext": [_hover(front, network) for _, network in networks],
        "hoverinfo": "text",
    }
    size = 9 if len(networks) <= 60 else 6
    symbols = [SYMBOLS.get(network.get("origin", TRANSFER), "circle") for _, network in networks]
    val: Figure = {
        **common,
        "name": "validation",
        "y": [value(network, up) for _, network in networks],
        "line": {"color": "@val", "width": 1.5, "shape": "hv"},
        "marker": {"color": "@val", "size": size, "symbol": symbols},
    }
    if colour:
        shades = [value(network, colour) for _, network in networks]
        val["marker"] |= {"size": size + 3, "color": shades, **shading(words(colour), shades)}
    traces = [val]
    if any(network.get("test_error") is not None for _, network in networks):
        traces.append(
            {
                **common,
                "name": "test",
                "y": [errors_on("test", network)[up] for _, network in networks],
                "line": {"color": "@test", "width": 1, "dash": "dot"},
                "marker": {"color": "@test", "size": size, "symbol": "diamond-open"},
            }
        )
    if any(network.get("before_finetuning") for _, network in networks):
        traces.append(
            {
                **common,
                "name": "validation, before fine-tuning",
                "mode": "markers",
                "y": [errors_on("before", network)[up] for _, network in networks],
                "marker": {"color": "@soft", "size": size, "symbol": "x-thin-open"},
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chosen below",
            "x": [],
            "y": [],
            "hoverinfo": "skip",
            "marker": {"color": "@text", "size": size + 9, "symbol": "circle-open", "line": {"width": 2}},
        }
    )
    return {
        "data": traces,
        "layout": {
            "xaxis": axis_of(across, x),
            "yaxis": axis_of(up, [value(network, up) for _, network in networks]),
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "height": 460,
        },
    }


def shading(title: str, shades: Sequence[float | None]) -> Figure:
    """How markers are coloured by values, for readers who see few colours too."""
    return {
        "line": {"color": "@soft", "width": 1},
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 12, "tickformat": _ticks(shades)},
    }


def hypervolume_figure(front: dict[str, Any]) -> Figure | None:
    """Hypervolume after each iteration, higher is better; None where none was recorded."""
    steps = [step for step in front.get("hypervolume") or [] if step.get("hypervolume") is not None]
    if not steps:
        return None
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [step.get("iteration", index) for index, step in enumerate(steps)],
                "y": [step["hypervolume"] for step in steps],
                "hovertext": [
                    f"iteration {step.get('iteration', '–')}<br>hypervolume {step['hypervolume']:.4g}<br>"
                    f"{step.get('networks', '–')} networks, weights version {step.get('weights_version', '–')}"
                    for step in steps
                ],
                "hoverinfo": "text",
                "line": {"color": "@val", "width": 2},
            }
        ],
        "layout": {
            "xaxis": {"title": {"text": "iteration"}, **({"dtick": 1} if len(steps) <= 15 else {"tickformat": "d"})},
            "yaxis": {"title": {"text": "hypervolume"}, "tickformat": _ticks([step["hypervolume"] for step in steps])},
            "height": 300,
        },
    }


def front_svg(front: dict[str, Any]) -> str:
    """The front as a small SVG drawing for a README: error over the first other objective.

    The error is on test, or on validation in a stopped run. The drawing follows the reader's light or dark theme.
    """
    across, _ = axes(front)
    split = "test" if any(network.get("test_error") is not None for network in front["networks"]) else "val"
    points = sorted(
        (x, y)
        for x, y in ((value(network, across), network.get(f"{split}_error")) for network in front["networks"])
        if x is not None and y is not None
    )
    if not points:
        return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360"/>\n'
    xs, ys = [x for x, _ in points], [y for _, y in points]
    log = min(xs) > 0 and max(xs) > WIDE * min(xs)
    scale = math.log10 if log else float
    x_low, x_high = scale(min(xs)), scale(max(xs))
    y_step = _round_step(max(ys) - min(ys) or max(ys) or 1)
    y_low = math.floor(min(ys) / y_step) * y_step
    y_high = max(math.ceil(max(ys) / y_step) * y_step, y_low + y_step)

    def place(x: float, y: float) -> tuple[float, float]:
        right = (scale(x) - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return 80 + 520 * right, 290 - 250 * (y - y_low) / (y_high - y_low)

    parts = []
    for step in range(round((y_high - y_low) / y_step) + 1):
        y = y_low + step * y_step
        height = place(xs[0], y)[1]
        parts.append(f'<path class="grid" d="M60 {height:.1f}H620"/>')
        parts.append(f'<text x="54" y="{height + 4:.1f}" text-anchor="end">{y:g} %</text>')
    for step in range(5 if x_high > x_low else 1):
        x = x_low + (x_high - x_low) * step / 4
        x = 10**x if log else x
        parts.append(f'<text x="{place(x, y_low)[0]:.1f}" y="312" text-anchor="middle">{count(x)}</text>')
    spots = [place(x, y) for x, y in points]
    parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in spots)}"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in spots]
    name = {"test": "test error", "val": "validation error"}[split]
    title = html.escape(f"{name} over {words(across)}{', log scale' if log else ''}")
    style = (
        "text{font:13px system-ui,sans-serif;fill:#444}.grid{stroke:#8884}"
        "polyline{fill:none;stroke:#1769aa;stroke-opacity:.5}circle{fill:#1769aa}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}circle{fill:#6db3f2}polyline{stroke:#6db3f2}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 350" role="img"><title>{title}</title>'
        f'<style>{style}</style>{"".join(parts)}<text x="340" y="338" text-anchor="middle">{title}</text></svg>\n'
    )


def _hover(front: dict[str, Any], network: dict[str, Any]) -> str:
    rows = [
        f"<b>{html.escape(str(network.get('architecture')))}</b>",
        f"{network.get('resolution')} pixels",
        *(f"{shown(name, value(network, name))} {words(name)}" for name in counts(front)),
    ]
    for name in measured_besides(front):
        clock = clocked(network, name)
        on_clock = "" if clock is None else f", {how_measured(name)} {shown(name, clock)}"
        rows.append(f"{html.escape(words(name))}: {shown(name, value(network, name))}{on_clock}")
    rows.append(f"validation error {percent(network.get('val_error'))}")
    if network.get("test_error") is not None:
        rows.append(f"test error {percent(network['test_error'])}")
    if before := network.get("before_finetuning"):
        errors = percent(before.get("val_error")), percent(before.get("test_error"))
        rows.append(f"before fine-tuning: validation {errors[0]}, test {errors[1]}")
    return "<br>".join(rows)


def _ticks(numbers: Sequence[float | None]) -> str:
    """The format of an axis for d3: 2M for large numbers; plain for small ones, which d3 would write as 200m."""
    return "~s" if max((number for number in numbers if number is not None), default=0) >= 1000 else "~g"


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides `span` into about four."""
    power = 10 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 4)
