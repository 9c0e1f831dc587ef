"""How a front was found: hypervolume, the predictor of errors, the distribution that adaptation drew from, the time."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from naturalize.numbers import duration, plural
from naturalize.progress import PHASES
from naturalize.report.figures import hypervolume_figure, shown, words
from naturalize.report.reading import phase_seconds

WORDS = {
    **PHASES,
    "scan": "reading the data",
    "fit": "fitting the predictor",
    "adapt": "adapting the weights",
    "besides": "measuring other networks",
    "final": "final networks and test",
    "report": "writing the result",
}


def making_html(front: dict[str, Any], events: list[dict[str, Any]], made: dict[str, Any]) -> str:
    """The section on how a front was found.

    Args:
        front: content of front.json.
        events: of the run.
        made: `predictions`, `distributions` and `clocks`, as of `Insides` and `explorer.clocks_of`; empty or None where
            there are none.
    """
    parts = [hypervolume_html(front, events), f"<div><h3>Where the time went</h3>{times_html(events)}</div>"]
    parts += [clock_html(number, clock) for number, clock in enumerate(made["clocks"])]
    if made["predictions"]:
        parts.append(predicted_html(made["predictions"]))
    moved = distributions_html(made["distributions"]) if made["distributions"] else ""
    return f"""<section>
<h2>How it was found</h2>
<div class="columns">
{chr(10).join(parts)}
</div>
{moved}
</section>"""


def hypervolume_html(front: dict[str, Any], events: list[dict[str, Any]]) -> str:
    """Hypervolume over iterations."""
    reference = ", ".join(
        f"{shown(name, number)} {words(name)}"
        for name, number in zip(front.get("objectives") or [], front.get("reference") or [], strict=False)
    )
    against = f" within the reference point ({html.escape(reference)})" if reference else ""
    curve = (
        f"""<p class="lead">Share of the space{against} that the front dominates; more is better. Each value holds for
the weights of its iteration.{last_predictor(events)}</p>
<div id="hypervolume" class="plot" role="img" aria-label="Hypervolume over iterations"></div>"""
        if hypervolume_figure(front) is not None
        else "<p>Not recorded.</p>"
    )
    return f"<div><h3>Hypervolume over iterations</h3>{curve}</div>"


def last_predictor(events: list[dict[str, Any]]) -> str:
    """A sentence on the last predictor: how many measurements it was fitted on, and how well it ranked."""
    fits = [event for event in events if event.get("event") == "predictor" and isinstance(event.get("pairs"), int)]
    if not fits:
        return ""
    ranks = fits[-1].get("rank_correlation")
    how_well = f"; rank correlation on held-out networks {ranks:.2f}" if isinstance(ranks, int | float) else ""
    return f" The predictor of error was last fitted on {plural(fits[-1]['pairs'], 'measurement')}{how_well}."


def times_html(events: list[dict[str, Any]]) -> str:
    """Seconds by phase."""
    seconds = phase_seconds(events)
    total = sum(seconds.values())
    rows = "".join(
        f'<tr><th scope="row">{html.escape(WORDS.get(phase, phase))}</th><td>{duration(s)}</td>'
        f'<td class="bar"><span style="width:{100 * s / total:.1f}%"></span>{100 * s / total:.0f}%</td></tr>'
        for phase, s in seconds.items()
        if total > 0
    )
    if not rows:
        return "<p>Not recorded.</p>"
    return f"""<table class="numbers times"><tbody>{rows}</tbody>
<tfoot><tr><th scope="row">together</th><td>{duration(total)}</td><td></td></tr></tfoot></table>"""


def predicted_html(predictions: list[dict[str, Any]]) -> str:
    """Predicted against measured errors, by iteration."""
    last = len(predictions) - 1
    hidden = "" if last else " hidden"
    return f"""<div><h3>Predicted against measured errors</h3>
<p class="lead">Each network's error is predicted from other networks, under the same weights.
<span id="predicted-lead"></span></p>
<p{hidden}><label>iteration <input type="range" id="iteration" min="0" max="{max(last, 1)}" value="{last}">
<output id="iteration-number"></output></label></p>
<div id="predicted" class="plot" role="img" aria-label="Predicted over measured error of networks that the predictor had
not seen"></div></div>"""


def clock_html(number: int, clock: dict[str, Any]) -> str:
    """What the model of a latency says, against the clock."""
    name = html.escape(clock["words"])
    ranks = rank_correlation(clock["model"], clock["clock"])
    how_well = "" if np.isnan(ranks) else f" and their rank correlation (Spearman) is {ranks:.2f}"
    return f"""<div><h3>{name}: model against clock</h3>
<p class="lead">The search went by a model; {plural(len(clock["networks"]), "network")} of the front ran for real. The
model is {clock["off"]:.1f}% off in the median{how_well}. Bars are two standard errors.</p>
<div id="clock{number}" class="plot" role="img" aria-label="{name} by the model and on the clock"></div></div>"""


def rank_correlation(one: list[float], other: list[float]) -> float:
    """Spearman's rank correlation; nan where there is none."""
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(one, other).statistic) if len(set(one)) > 1 and len(set(other)) > 1 else float("nan")


def distributions_html(distributions: dict[str, Any]) -> str:
    """How the distribution that adaptation draws architectures from moved."""
    options = "".join(
        f'<option value="{number}">{html.escape(name)}</option>'
        for number, name in enumerate(distributions["variables"])
    )
    return f"""<h3>How p moved</h3>
<p class="lead">Adaptation trains architectures that it draws from p: for each variable the share of the archive's
members with each option, among members that have what it depends on (NAT, section 3.4). A variable
is settled where one option has all of p (100%), and open where all options have the same (0%): one less the entropy of
p as a share of the largest possible.</p>
<div class="columns">
<div><h4>How settled each variable is</h4>
<div id="settled" class="plot" role="img" aria-label="How settled each variable is over adaptations"></div></div>
<div><h4><label>Options of <select id="variable">{options}</select></label></h4>
<div id="shares" class="plot" role="img" aria-label="Share of each option over adaptations"></div></div>
</div>"""
