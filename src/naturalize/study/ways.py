"""The form of a study of ways to adapt: all have the same data, time and machine, and are judged on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from statistics import mean

from naturalize.errors import UserError
from naturalize.run import Run, read_front
from naturalize.study.study import HUES, Cell, Figure, Row, Study, Table, mean_and_spread

REFERENCE = "reference"  # in the facts of a run's last iteration, where it has no front.json


def ways_study(
    name: str,
    question: str,
    ways: Mapping[str, str],
    data: Sequence[str],
    budget: str,
    cells: Sequence[Cell],
    measure: Callable[[Cell], Sequence[Row]],
) -> Study:
    """A study that compares ways by the hypervolume of their fronts on validation.

    Args:
        name, question, measure: as of `Study`; rows are those of `outcome`.
        ways: what each one is, by name.
        data: names of the data sets.
        budget: of each run, as it is told.
        cells: as of `cells_of`.
    """

    def figures(rows: Sequence[Row]) -> list[Figure]:
        rows = comparable(rows)
        return [
            {
                "caption": f"{of}: hypervolume of each seed",
                "data": [
                    {
                        "type": "scatter", "mode": "markers", "name": way, "marker": {"color": hue, "size": 10},
                        "x": (found := values(rows, of, way, "hypervolume")), "y": [way] * len(found),
                        "showlegend": False,
                    }
                    for way, hue in zip(ways, HUES, strict=False)
                ],
                "layout": {"xaxis": {"title": {"text": "hypervolume on validation"}}, "height": 240},
            }
            for of in data
        ]  # fmt: skip

    def tables(rows: Sequence[Row]) -> list[Table]:
        rows = comparable(rows)
        columns = ["way", "hypervolume", "lowest error, percent", "measured networks", "networks of the front"]
        digits = {"hypervolume": 3, "best_error": 1, "measured": 0, "networks": 0}
        return [
            Table(
                f"{of}, {budget}: mean (standard deviation) over seeds",
                columns,
                [
                    [f"{way}: {told}", *(mean_and_spread(values(rows, of, way, key), n) for key, n in digits.items())]
                    for way, told in ways.items()
                ],
            )
            for of in data
        ]

    def conclude(rows: Sequence[Row]) -> str:
        rows, sentences = comparable(rows), []
        for of in data:
            found = {way: mean(values(rows, of, way, "hypervolume")) for way in ways}
            told = ", ".join(f"{way} {value:.3f}" for way, value in found.items())
            best = max(found, key=lambda way: found[way])
            sentences.append(f"On {of}, with {budget}, {best} ({ways[best]}) is best: hypervolume {told}")
        return ". ".join(sentences) + "."

    return Study(name, question, cells, measure, figures, tables, conclude)


def cells_of(data: Sequence[str], budget: str, ways: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """A cell for each data set, way and seed."""
    return [{"data": of, "budget": budget, "way": way, "seed": seed} for of, way, seed in product(data, ways, seeds)]


def directory_of(cell: Cell, out: Path) -> Path:
    """Directory of a cell's run in `out`."""
    return out / "-".join([Path(cell["data"]).stem, cell["budget"], cell["way"], str(cell["seed"])])


def values(rows: Sequence[Row], data: str, way: str, key: str) -> list[float]:
    """The values under `key` of the rows of one data set and way, one for each seed."""
    return [row[key] for row in rows if (row["data"], row["way"]) == (data, way)]


def outcome(run: Run) -> Row:
    """The results of a run's last pass on validation, before a last adaptation learns from these pictures.

    Hypervolume is by the run's own reference point, which is told too. Raises `UserError` where nothing was measured.
    """
    with closing(run.archive()) as archive:
        closed, used_s = archive.iterations(), archive.used_s
    if not closed:
        raise UserError(f"{run.directory} had no time to measure a network: give a longer --budget")
    error, madds = closed[-1].get(REFERENCE) or read_front(run.directory)[REFERENCE]
    return {
        **{key: closed[-1][key] for key in ("hypervolume", "best_error", "networks")},
        "measured": sum(entry["measured"] for entry in closed),
        "used_s": used_s,
        "reference_error": error,
        "reference_madds": madds,
    }


def comparable(rows: Sequence[Row]) -> list[Row]:
    """The rows with hypervolumes by one reference point for each data set: the largest of those of its rows.

    The resolutions that a run trains at depend on the machine's speed, and on the other sets of a joint run; the
    largest network, by which multiply-adds are divided, depends on these. No network of a run lies beyond its own
    reference, so what a larger one adds is a strip down to the lowest error.
    """
    largest: dict[str, float] = {}
    for row in rows:
        largest[row["data"]] = max(row.get("reference_madds", 0.0), largest.get(row["data"], 0.0))

    def hypervolume(row: Row) -> float:
        if "reference_madds" not in row:  # measured by an older naturalize, by a reference that is not known
            return float(row["hypervolume"])
        share = row["reference_madds"] / largest[row["data"]]
        strip = max(0.0, 1.0 - row["best_error"] / row["reference_error"])
        return float(share * row["hypervolume"] + (1.0 - share) * strip)

    return [{**row, "hypervolume": hypervolume(row)} for row in rows]
