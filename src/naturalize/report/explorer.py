"""The front by any of its objectives: what the page's menus, sliders and pictures choose from."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from naturalize.objectives import BALANCED_ERROR, ERROR
from naturalize.report.figures import (
    axes,
    axis_of,
    clocked,
    counts,
    how_measured,
    is_error,
    known,
    measured_besides,
    shading,
    shown,
    upwards,
    value,
    words,
)
from naturalize.report.insides import Insides
from naturalize.run.front import val_version

Front = dict[str, Any]
FIGURES = 4  # of the numbers of points that are drawn faintly


def objectives_of(front: Front) -> list[dict[str, Any]]:
    """The numbers that networks of a front are drawn and limited by, those that were asked for first.

    Returns:
        Of each `name`, `words`, whether it was `asked` for, whether `export --require` takes a limit on it, its `axis`
        and `shading` for Plotly, `values` of the networks, and the same as `texts`.
    """
    asked = [name for name in front.get("objectives") or [] if not is_error(name)]
    names = [ERROR, *asked, *(name for name in counts(front) if name not in asked)]
    found = []
    for name in names:
        values = [value(network, name) for network in front["networks"]]
        if any(number is not None for number in values):
            takes = can_be_limited(front, name)
            found.append(described(name, words(name), values, is_error(name) or name in asked, takes))
    for name in measured_besides(front):
        values = [clocked(network, name) for network in front["networks"]]
        if any(number is not None for number in values):
            told = described(name, f"{words(name)} {how_measured(name)}", values, True, False)
            found.append(told | {"name": f"{name} clock"})
    return found


def described(name: str, title: str, values: list[float | None], asked: bool, takes: bool) -> dict[str, Any]:
    """The entry of an objective; see `objectives_of`."""
    axis = axis_of(name, values)
    axis["title"] = {"text": axis["title"]["text"].replace(words(name), title)}
    return {
        "name": name,
        "words": title,
        "asked": asked,
        "limit": takes,
        "axis": axis,
        "shading": shading(title, values),
        "values": values,
        "texts": [shown(name, number) for number in values],
    }


def can_be_limited(front: Front, name: str) -> bool:
    """Whether `export --require` takes a limit on an objective: all networks have it, and it is not measured."""
    found = known(name)
    return found is not None and found.kind != "measured" and all(value(n, name) is not None for n in front["networks"])


def others_of(front: Front, insides: Insides) -> list[dict[str, Any]]:
    """Everything measured beside a front: groups with a `name`, whether they stand `alone`, numbers by objective."""
    on_front = [network["architecture"] for network in front["networks"]]
    costs = insides.costs([*counts(front), *measured_besides(front)])
    found = []
    for group in insides.others(val_version(front), on_front):
        numbers = {name: cost(group.codes) for name, cost in costs.items()} | {ERROR: group.errors}
        if group.balanced is not None and BALANCED_ERROR in (front.get("objectives") or []):
            numbers[BALANCED_ERROR] = group.balanced
        columns = {name: [float(f"{number:.{FIGURES}g}") for number in column] for name, column in numbers.items()}
        found.append({"name": group.name, "alone": group.alone, "columns": columns})
    return found


def clocks_of(front: Front) -> list[dict[str, Any]]:
    """Of each latency or energy, what its model and what the clock says of the networks that were measured."""
    found = []
    for name in measured_besides(front):
        rows = [index for index, network in enumerate(front["networks"]) if clocked(network, name) is not None]
        described_as = known(name)
        if not rows or (described_as and described_as.kind == "measured"):  # an error has no model
            continue
        model = np.array([value(front["networks"][row], name) for row in rows], dtype=np.float64)
        measured = [front["networks"][row]["measured"][name] for row in rows]
        clock = np.array([one["value"] for one in measured])
        found.append(
            {
                "words": words(name),
                "unit": described_as.unit if described_as else "",
                "networks": rows,
                "model": model.tolist(),
                "clock": clock.tolist(),
                "spread": [one.get("spread") or 0.0 for one in measured],
                "off": round(float(np.median(np.abs(model / clock - 1))) * 100, 1),
            }
        )
    return found


def explorer_html(front: Front, objectives: list[dict[str, Any]]) -> str:
    """The section: views, menus, the picture, limits."""
    across, colour = axes(front)
    if len(front["networks"]) == 1:
        lead = "One network is better than all others in every objective."
    else:
        lead = (
            "No network is better than another in everything: less is better on every axis. Click on one, or go "
            "through them with the arrow keys."
        )

    def menu(name: str, label: str, chosen: str | None, none: str = "") -> str:
        options = "".join(
            f'<option value="{html.escape(one["name"])}"{" selected" if one["name"] == chosen else ""}>'
            f"{html.escape(one['words'])}</option>"
            for one in objectives
        )
        first = f'<option value=""{"" if chosen else " selected"}>{none}</option>' if none else ""
        return f'<label>{label} <select id="{name}">{first}{options}</select></label>'

    views = [("plane", "two objectives")]
    if len(objectives) > 2:
        views += [("space", "three, and their projections"), ("parallel", "all, side by side")]
    radios = "".join(
        f'<label><input type="radio" name="view" value="{view}"{" checked" if view == "plane" else ""}> {label}</label>'
        for view, label in views
    )
    sliders = "".join(slider(number, one) for number, one in enumerate(objectives))
    return f"""<section id="explorer">
<h2>The front</h2>
<p class="lead">{lead}</p>
<div class="controls">
<fieldset class="views"><legend>Show</legend>{radios}</fieldset>
{menu("across", "to the right", across)}
{menu("up", "upwards", upwards(front))}
{menu("colour", "colour", colour, "none")}
<span id="turning" hidden><label>turn <input type="range" id="turn" min="-180" max="180" step="5" value="-35"></label>
<label>tilt <input type="range" id="tilt" min="0" max="90" step="5" value="25"></label></span>
</div>
<div id="front" class="plot" tabindex="0" role="img" aria-label="Networks of the front; arrow keys choose one. The table
below holds the same numbers"></div>
<p class="lead" id="drawn"></p>
<fieldset id="limits"><legend>Limits</legend>
<div class="sliders">{sliders}</div>
<p id="left" role="status"></p>
<p id="within"><code></code></p>
<p><button type="button" id="take">choose that network</button>
<button type="button" id="clear">no limits</button></p>
</fieldset>
</section>"""


def slider(number: int, objective: dict[str, Any]) -> str:
    """A slider over the different values of an objective; at its end there is no limit."""
    last = len({value for value in objective["values"] if value is not None}) - 1
    disabled = "" if last else " disabled"
    name = html.escape(objective["words"])
    end = max(last, 1)
    return (
        f'<div><label for="slider-{number}">{name} at most</label><output id="limit-{number}">any</output>'
        f'<input type="range" id="slider-{number}" min="0" max="{end}" value="{end}" data-objective="{number}"'
        f"{disabled}></div>"
    )
