"""The form of a study: cells that are measured apart, a table of their results, figures, and a conclusion."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from joblib import Parallel, delayed

from naturalize.errors import UserError
from naturalize.files import write_json, write_text
from naturalize.progress import Progress, silent
from naturalize.report.page import html_page

Cell = dict[str, Any]
"""One setting of all that a study varies, by name: JSON values."""

Row = dict[str, Any]
"""One line of the results: the cell's values, then what was measured."""

Figure = dict[str, Any]
"""Plotly's data and layout, as of `report.figures`, and a `caption`."""

HUES = ("#1769aa", "#c2571a", "#2e8b57", "#8a4fbf", "#b8860b", "#c03a6b", "#4a7c7e", "#7a5230", "#5b6abf")


@dataclass(frozen=True)
class Table:
    """A table of the page; cells are text."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes:
        name: of its command.
        question: that it answers.
        cells: measured one by one, in any order, in any process; a cell always gives the same rows, times aside.
        measure: function from a cell to its rows; it is sent to other processes.
        figures, tables: functions from all rows to the figures and tables of the page.
        conclude: function from all rows to the conclusion, a sentence or two.
    """

    name: str
    question: str
    cells: Sequence[Cell]
    measure: Callable[[Cell], Sequence[Row]]
    figures: Callable[[Sequence[Row]], Sequence[Figure]]
    tables: Callable[[Sequence[Row]], Sequence[Table]]
    conclude: Callable[[Sequence[Row]], str]


@dataclass(frozen=True)
class Findings:
    """The result of a study.

    Attributes:
        rows: of all cells, in their order; `results.csv` holds them too.
        conclusion: in a sentence or two.
        page: the path of `study.html`.
    """

    rows: Sequence[Row]
    conclusion: str
    page: Path


def run_study(study: Study, out: str | Path, *, jobs: int = -1, progress: Progress = silent) -> Findings:
    """Measure the cells that are not measured yet, and write `results.csv` and `study.html`.

    A study that was stopped goes on where it was: each finished cell is a file in `cells/`. One with more cells, as
    more seeds, measures those that are new.

    Args:
        study: what to measure.
        out: directory of the study.
        jobs: cells that are measured at once, each in a process of its own; -1 for one on each CPU.
        progress: called after each cell; what it raises ends the study.

    Raises:
        UserError: where `out` holds something else.
    """
    out = claimed(out, study.name)
    rows = measure_cells(study.cells, study.measure, out / "cells", jobs, progress)
    write_text(out / "results.csv", as_csv(rows))
    conclusion = study.conclude(rows)
    write_text(out / "study.html", page(study, rows, conclusion))
    return Findings(rows, conclusion, out / "study.html")


def claimed(out: str | Path, name: str) -> Path:
    """Claim a directory for the study of this name, and return it.

    Raises:
        UserError: where it holds something else.
    """
    out = Path(out)
    card = out / "study.json"
    if out.exists() and not card.exists() and any(out.iterdir()):
        raise UserError(f"{out} holds something that is no study: choose another --out")
    if card.exists() and read_json(card) != {"study": name}:
        raise UserError(f"{out} holds another study: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(card, {"study": name})
    return out


def measure_cells(
    cells: Sequence[Cell],
    measure: Callable[[Cell], Sequence[Row]],
    directory: Path,
    jobs: int,
    progress: Progress = silent,
) -> list[Row]:
    """Rows of all cells, in order; each measured cell becomes a file in the directory, and is not measured again.

    Args:
        cells, measure: as of `Study`.
        directory: of the files.
        jobs, progress: as of `run_study`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name_of(cell)}.json" for cell in cells]
    rows = [read_json(path) for path in paths]
    missing = [number for number, found in enumerate(rows) if found is None]
    work = (delayed(measured)(measure, number, cells[number]) for number in missing)
    done = len(paths) - len(missing)
    progress("study", done, len(paths))
    for number, found in Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
        write_json(paths[number], found)
        rows[number] = read_json(paths[number])
        done += 1
        progress("study", done, len(paths))
    return [row for found in rows for row in found]


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def measured(measure: Callable[[Cell], Sequence[Row]], number: int, cell: Cell) -> tuple[int, list[Row]]:
    """The number of a cell and its rows by `measure`, the cell's own values first in each."""
    return number, [{**cell, **row} for row in measure(cell)]


def name_of(cell: Cell) -> str:
    """The file name of a cell without its suffix: its values, joined."""
    text = "_".join(str(value) for value in cell.values())
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text)


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header; columns are all names, in the order in which they first occur."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# the page -----------------------------------------------------------------------------------------------------------


def page(study: Study, rows: Sequence[Row], conclusion: str) -> str:
    """The HTML page of a study: question, conclusion, and the figures and tables of its rows."""
    figures = list(study.figures(rows))
    plots = "\n".join(
        f'<h2>{html.escape(figure["caption"])}</h2>\n<div id="figure{number}" class="plot" role="img" '
        f'aria-label="{html.escape(figure["caption"])}"></div>'
        for number, figure in enumerate(figures)
    )
    tables = "\n".join(table_html(table) for table in study.tables(rows))
    body = f"""<header>
<p class="run">naturalize · study {html.escape(study.name)}</p>
<h1>{html.escape(study.question)}</h1>
<p>{html.escape(conclusion)}</p>
<p class="lead">{len(study.cells):,} experiments. Lines are means over seeds, bands one standard deviation to either
side. Every number is in results.csv beside this page.</p>
</header>
{plots}
{tables}"""
    return html_page(f"study {study.name}", body, {"figures": figures}, ["study.js"])


def table_html(table: Table) -> str:
    """HTML of a table with its caption."""
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.columns)
    lines = "\n".join(
        f'<tr><th scope="row">{html.escape(first)}</th>' + "".join(f"<td>{html.escape(c)}</td>" for c in rest) + "</tr>"
        for first, *rest in table.rows
    )
    return f"""<h2>{html.escape(table.caption)}</h2>
<div class="scroll"><table class="numbers"><thead><tr>{header}</tr></thead>
<tbody>
{lines}
</tbody></table></div>"""


def curves(
    rows: Sequence[Row], x: str, y: str, by: str, caption: str, *, x_title: str, y_title: str, best: float | None = None
) -> Figure:
    """Means of y over x, a line for each value of `by`, one standard deviation to either side.

    Args:
        rows: of the results.
        x, y, by: names of the columns to draw, and of the one that tells lines apart.
        caption, x_title, y_title: texts of the figure.
        best: largest possible y; the axis then begins where the lower half of the lines ends up.
    """
    traces: list[Figure] = []
    for place, name in enumerate(dict.fromkeys(row[by] for row in rows)):
        found: dict[float, list[float]] = {}
        for row in rows:
            if row[by] == name and row[y] is not None:
                found.setdefault(row[x], []).append(row[y])
        at = sorted(found)
        middle = [mean(found[value]) for value in at]
        spread = [spread_of(found[value]) for value in at]
        upper = [m + s for m, s in zip(middle, spread, strict=True)]
        lower = [m - s for m, s in zip(middle, spread, strict=True)]
        hue, group = HUES[place % len(HUES)], str(name)
        band = {"fill": "toself", "fillcolor": hue, "opacity": 0.15, "line": {"width": 0}, "hoverinfo": "skip"}
        line = {"name": group, "line": {"color": hue, "width": 2}}
        common = {"type": "scatter", "mode": "lines", "legendgroup": group}
        traces.append({**common, **band, "x": [*at, *at[::-1]], "y": [*upper, *lower[::-1]], "showlegend": False})
        traces.append({**common, **line, "x": at, "y": middle})
    layout: Figure = {
        "xaxis": {"title": {"text": x_title}},
        "yaxis": {"title": {"text": y_title}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "height": 420,
    }
    if best is not None:
        ends = sorted(trace["y"][-1] for trace in traces[1::2])
        layout["yaxis"]["range"] = [min(0.9 * ends[len(ends) // 2], ends[0]), best]
    return {"data": traces, "layout": layout, "caption": caption}


def spread_of(values: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 for one value."""
    return stdev(values) if len(values) > 1 else 0.0


def mean_and_spread(values: Iterable[float], digits: int = 3) -> str:
    """Mean and standard deviation for a table, as `0.935 (0.004)`; a dash where there is nothing."""
    values = list(values)
    return f"{mean(values):.{digits}f} ({spread_of(values):.{digits}f})" if values else "–"
