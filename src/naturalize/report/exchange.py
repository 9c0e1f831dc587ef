"""What the architecture of one run loses on the pictures of another, with that run's weights (Lu et al., Figure 10)."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.numbers import percent
from naturalize.progress import Progress, silent
from naturalize.report.insides import Insides
from naturalize.space import Architecture
from naturalize.training.evaluate import logits_of
from naturalize.training.subnets import Subnets

Floats = NDArray[np.float64]


def exchanged(runs: Sequence[Insides], archs: Sequence[Architecture], progress: Progress = silent) -> Floats:
    """Errors of each run's architecture on the pictures of every run.

    Each is cut out of the supernet that a run ends with, and answers the validation pictures that the run keeps: so
    all in a column have the same weights version and the same pictures. Resolutions that a run does not train become
    the nearest that it does.

    Args:
        runs: n of one supernet.
        archs: an architecture of each.
        progress: called for every network.

    Returns:
        `(n, n)` in percent, rows are architectures, columns are runs' weights and pictures; nan where a run keeps no
        supernet any more.
    """
    found = np.full((len(runs), len(runs)), np.nan)
    for column, insides in enumerate(runs):
        try:
            run, supernet = insides.run, insides.run.trained_supernet()
            check = run.stored("check")
            subnets = Subnets(supernet, run.stored("calibration"), torch.device("cpu"), run.keeps_statistics)
        except (UserError, OSError, KeyError):
            continue
        labels = torch.from_numpy(np.asarray(check.labels))
        for row, arch in enumerate(archs):
            progress("measure", column * len(runs) + row, found.size)
            own = at_home(runs[row], arch, insides)
            pixels = check(np.arange(len(check)), subnets.resolution(own))
            logits = logits_of(subnets.of(own), pixels, torch.device("cpu"))
            found[row, column] = run.task.error(run.task.answers(logits, labels))
    return found


def at_home(of: Insides, arch: Architecture, here: Insides) -> Architecture:
    """An architecture of one run as one of another: at the nearest resolution that this one trains."""
    codes = np.array([arch.code])
    side = of.family.resolutions[arch.code[0]]
    codes[0, 0] = np.abs(np.array(here.run.trained) - side).argmin()
    return here.family.space.architectures(codes)[0]


def exchange_html(errors: Floats, names: Sequence[str], pictures: Sequence[int]) -> str:
    """The table of errors, each beside what it is more than that of the run's own network; nothing where none is known.

    Args:
        errors: as of `exchanged`.
        names: of the runs.
        pictures: number of pictures that each run keeps.
    """
    if np.isnan(errors).all():
        return ""
    heads = "".join(
        f'<th scope="col">on {html.escape(name)} ({n} pictures)</th>' for name, n in zip(names, pictures, strict=True)
    )
    rows = []
    for row, name in enumerate(names):
        cells = "".join(
            cell(errors[row, column], errors[column, column], row == column) for column in range(len(names))
        )
        rows.append(f'<tr><th scope="row">network of {html.escape(name)}</th>{cells}</tr>')
    return f"""<section><h2>Exchanged</h2>
<p class="lead">The error of each architecture on the pictures of every run, with the weights of that run's supernet,
and how many points more that is than the run's own network has there. All in a column answer the same validation
pictures that the run keeps, with weights of the same version; with n of them, an error of p has a standard error of
√(p(100 − p)/n).</p>
<div class="scroll"><table class="numbers" id="exchange"><thead><tr><th></th>{heads}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></section>"""


def cell(error: float, own: float, is_own: bool) -> str:
    """The cell of one network on one run's pictures."""
    if np.isnan(error):
        return "<td>no supernet left</td>"
    return f"<td>{percent(error)}{'' if is_own else f' <span class=spread>{error - own:+.1f}</span>'}</td>"
