"""Figure 10 of the paper: the networks that several runs have at one cost, their structures side by side."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.files import write_text
from naturalize.numbers import percent
from naturalize.progress import Progress, silent
from naturalize.report.exchange import exchange_html, exchanged
from naturalize.report.figures import shown, words
from naturalize.report.insides import Insides
from naturalize.report.page import html_page, run_name
from naturalize.report.structure import KEY, structures
from naturalize.run import FrontNetwork, networks_of, read_front
from naturalize.run.choosing import Choice, choose, parse_at
from naturalize.space import Architecture

Floats = NDArray[np.float64]
Front = dict[str, Any]


def write_comparison(directories: Sequence[Path], at: str, progress: Progress = silent) -> Path:
    """Write `comparison.html` into the first run's directory, and return its path.

    Args:
        directories: of two runs or more, of one supernet.
        at: the cost that each run's network is to come near to, as `madds=20M`.
        progress: called for every network that is measured on another run's pictures.

    Raises `UserError` for runs of different supernets, and for a cost that is none.
    """
    name, _ = parse_at(at)
    fronts = [read_front(directory) for directory in directories]
    runs = [Insides(directory) for directory in directories]
    for directory, run in zip(directories, runs, strict=True):
        if run.family.name != runs[0].family.name:
            raise UserError(
                f"{directories[0]} is of {runs[0].family.name} and {directory} of {run.family.name}: structures are "
                "compared within one supernet"
            )
    chosen = [nearest_of(directory, front, at) for directory, front in zip(directories, fronts, strict=True)]
    archs = [run.archs([network.architecture])[0] for run, network in zip(runs, chosen, strict=True)]
    names = told_apart([run_name(directory) for directory in directories])
    cards = "".join(card(number, names[number], name, network) for number, network in enumerate(chosen))
    errors = exchanged(runs, archs, progress)
    body = f"""<header>
<p class="run">naturalize · {html.escape(runs[0].family.name)}</p>
<h1>{len(runs)} networks nearest to {html.escape(at)}, side by side</h1>
<p class="lead">The network of each run whose cost is nearest to {html.escape(at)}, after Figure 10 of Lu et al., Neural
Architecture Transfer, TPAMI 2021.</p>
</header>
<section><h2>Structures</h2>
<p class="lead">{KEY}</p>
<div class="compared">{cards}</div></section>
{exchange_html(errors, names, [kept(run) for run in runs])}
<section><h2>Distances</h2>
<p class="lead">First the number of variables that differ, of those that have a choice. Then the distance: each variable
is scaled to 0 to 1 by its range, differences are taken without their sign (L1), and their mean is over all variables
with a choice: 0 is the same network, 1 is every variable at the other end. Resolutions are compared in pixels.</p>
<div class="scroll">{distances_html(runs, archs, names)}</div></section>
<section><h2>Variables</h2>
<p class="lead">Marked rows differ.</p>
<div class="scroll">{variables_html(runs, archs, names)}</div></section>"""
    data = {"compared": [structures(run, [arch]) for run, arch in zip(runs, archs, strict=True)]}
    path = directories[0] / "comparison.html"
    write_text(
        path, html_page(f"{len(runs)} networks at {at}", body, data, ["structure.js", "compare.js"], plots=False)
    )
    return path


def kept(run: Insides) -> int:
    """Number of validation pictures that a run keeps."""
    try:
        return len(run.run.stored("check"))
    except (UserError, OSError, KeyError):
        return 0


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of runs, numbered where one is there twice: of an absolute path only the last part is shown."""
    return [name if names.count(name) == 1 else f"{number}: {name}" for number, name in enumerate(names, 1)]


def nearest_of(directory: Path, front: Front, at: str) -> FrontNetwork:
    """The network of a run nearest to a cost. Raises `UserError` that names the run where it has no such cost."""
    try:
        return choose(networks_of(front), Choice(at=at), front["objectives"])[0]
    except UserError as error:
        raise UserError(f"{directory}: {error}") from error


def card(number: int, name: str, cost: str, network: FrontNetwork) -> str:
    """A run's network: what it is called, costs and errs, and the place for its structure."""
    test = f", test error {percent(network.test_error)}" if network.test_error is not None else ""
    facts = f"{shown(cost, network.value(cost))} {words(cost)}, validation error {percent(network.val_error)}{test}"
    return f"""<div><h3>{html.escape(name)}</h3>
<p class="lead">{html.escape(network.architecture)}: {html.escape(facts)}</p>
<div id="structure{number}"></div></div>"""


def scaled(runs: Sequence[Insides], archs: Sequence[Architecture]) -> Floats:
    """Variables that have a choice in any of the runs, each scaled to 0..1, the resolution in pixels. `(n, k)`"""
    space = runs[0].family.space
    values = np.array([arch.code for arch in archs], dtype=np.float64)
    low, high = space.lower.astype(np.float64), space.upper.astype(np.float64)
    sides = [side for run in runs for side in run.family.resolutions]
    values[:, 0] = [run.family.resolutions[arch.code[0]] for run, arch in zip(runs, archs, strict=True)]
    low[0], high[0] = min(sides), max(sides)
    free = high > low
    return ((values - low) / np.where(free, high - low, 1.0))[:, free]


def distances(runs: Sequence[Insides], archs: Sequence[Architecture]) -> tuple[NDArray[np.int64], Floats, int]:
    """How far networks are from each other.

    Returns:
        Number of variables that differ and mean distance over all variables with a choice, `(n, n)` each; the number of
        these variables.
    """
    values = scaled(runs, archs)
    gaps = np.abs(values[:, None] - values[None])
    return (gaps > 0).sum(axis=2), gaps.mean(axis=2), values.shape[1]


def distances_html(runs: Sequence[Insides], archs: Sequence[Architecture], names: Sequence[str]) -> str:
    """The table of distances."""
    differing, mean, free = distances(runs, archs)
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    rows = []
    for row, name in enumerate(names):
        cells = "".join(
            "<td>–</td>" if row == column else f"<td>{differing[row, column]} of {free}; {mean[row, column]:.3f}</td>"
            for column in range(len(names))
        )
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    return f"""<table class="numbers" id="distances"><thead><tr><th></th>{heads}</tr></thead>
<tbody>{"".join(rows)}</tbody></table>"""


def variables_html(runs: Sequence[Insides], archs: Sequence[Architecture], names: Sequence[str]) -> str:
    """The table of what each network has for each variable with a choice."""
    space = runs[0].family.space
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    rows = []
    for column, variable in enumerate(space.variables):
        options = [run.options(column)[arch.code[column]] for run, arch in zip(runs, archs, strict=True)]
        if variable.upper == variable.lower and len(set(options)) == 1:
            continue
        differs = any(one != other for one, other in combinations(options, 2))
        cells = "".join(f"<td>{html.escape(option)}</td>" for option in options)
        mark, name = (' class="differs"', "≠ ") if differs else ("", "")
        rows.append(f'<tr{mark}><th scope="row">{name}{html.escape(variable.name.replace(".", ", "))}</th>{cells}</tr>')
    return f'<table id="variables"><thead><tr><th></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
