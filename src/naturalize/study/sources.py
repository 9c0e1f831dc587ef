"""The sources of studies: runs, tables of measured architectures, fitted truths, synthetic problems."""

from __future__ import annotations

import time
from contextlib import closing
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from naturalize import journal, rng
from naturalize.data import Pixels
from naturalize.errors import UserError
from naturalize.lifecycle import reopen_data
from naturalize.numbers import duration
from naturalize.objectives import COST, DEFAULT, ERROR, LEARNT
from naturalize.objectives.error import Error
from naturalize.objectives.exact import exact_counts, stage_counts
from naturalize.predictor import Counts
from naturalize.progress import Progress, silent
from naturalize.report.reading import phase_seconds, read_events
from naturalize.run import Run, Watch
from naturalize.search import hypervolume
from naturalize.space import Codes, SearchSpace
from naturalize.study.predictors import Pairs
from naturalize.study.study import Cell, Row, Table, claimed, measure_cells
from naturalize.study.truths import Floats, Truth, dtlz2, fitted, read_table, tabular
from naturalize.supernet import Family, make_family
from naturalize.tasks import Classification, Task
from naturalize.training.batches import Images
from naturalize.training.engine import make_fabric
from naturalize.training.subnets import Subnets
from naturalize.workbench import chosen_images

DTLZ2 = "dtlz2"
DRAWN = 350  # architectures of a run that are drawn uniformly and measured, as the paper does
AT_ONCE = 10  # architectures in one cell
TABLE_SIDE, TABLE_CLASSES = 224, 1000  # side of pictures, and classes, that a table of architectures is assumed to have
ERRORS, ACCURACIES = (ERROR,), ("top1", "accuracy")  # columns of tables


# pairs ---------------------------------------------------------------------------------------------------------------


def read_pairs(
    source: str | Path, supernet: str | None, drawn: int, out: Path, jobs: int, progress: Progress = silent
) -> Pairs:
    """Measured architectures of a run or a table. Raises `UserError` for anything else.

    Args:
        source: directory of a run, or path of a table.
        supernet: name of the supernet of a table's architectures.
        drawn: architectures of a run to draw and measure; 0 for those of its archive.
        out: directory of the study, which keeps all measurements.
        jobs, progress: as of `run_study`.
    """
    path = Path(source)
    if path.is_dir():
        return run_pairs(path, drawn, out, jobs, progress)
    family, codes, error = read_errors(path, supernet)
    return Pairs(path.name, family.space, codes, error, known_of(family, Classification(TABLE_CLASSES), 3))


def run_pairs(directory: Path, drawn: int, out: Path, jobs: int, progress: Progress) -> Pairs:
    """Architectures of a run's space under its latest weights: drawn uniformly, or those of its archive.

    Args:
        directory: of the run.
        drawn, out, jobs, progress: as of `read_pairs`.
    """
    run = Run(directory)
    space = run.family.space
    if drawn:
        codes = space.sample_distinct(drawn, rng.generator(run.settings.seed, "study"))
        strings = space.strings(codes)
        parts = [strings[start : start + AT_ONCE] for start in range(0, len(strings), AT_ONCE)]
        name = name_of_source(directory)
        cells: list[Cell] = [{"run": name, "drawn": drawn, "part": number} for number in range(len(parts))]
        errors = RunErrors(directory)

        def measure(cell: Cell) -> list[Row]:
            return [errors.timed(text) for text in parts[cell["part"]]]

        rows = measure_cells(cells, measure, claimed(out, "predictors") / "pairs", jobs, progress)
        error = np.array([row["error"] for row in rows], dtype=np.float64)
        seconds = [row["seconds"] for row in rows]
    else:
        with closing(run.archive()) as archive:
            version = max((facts["weights_version"] for facts in archive.iterations()), default=-1)
            found = archive.measurements(run.context(ERROR, version)).values()
        codes = space.codes([measurement.architecture for measurement in found])
        error = np.array([measurement.value for measurement in found], dtype=np.float64)
        seconds = [measurement.seconds for measurement in found]
    good = np.isfinite(error)
    if good.sum() < 100:
        raise UserError(f"{directory} has {good.sum()} measured architectures: a study of predictors needs 100")
    known = known_of(run.family, run.task, run.facts["data"]["channels"])
    return Pairs(name_of_source(directory), space, codes[good], error[good], known, median(seconds))


def read_errors(path: Path, supernet: str | None) -> tuple[Family, Codes, Floats]:
    """Family, codes `(n, d)` and errors `(n,)` in percent of a table's rows that have one.

    Raises `UserError` for what is no such table.
    """
    if supernet is None:
        raise UserError(f"say which supernet the architectures of {path} are of, as --supernet ofa-mbv3-w1.0")
    family = make_family(supernet, TABLE_SIDE)
    if not path.is_file():
        raise UserError(f"{path} is no run, no table and no {DTLZ2}: give the directory of a run, or a .csv file")
    codes, columns = read_table(path, family.space)
    named = [name for name in (*ERRORS, *ACCURACIES) if name in columns]
    if not named:
        known = ", ".join((*ERRORS, *ACCURACIES))
        raise UserError(
            f"{path} has no column of errors: it must have a number in each row of one of {known}; columns of "
            f"numbers: {', '.join(columns) or 'none'}"
        )
    values = columns[named[0]]
    error = values if named[0] in ERRORS else 100 - values
    good = np.isfinite(error)
    if not good.any():
        raise UserError(f"{path} has no row with an architecture and an error")
    if error[good].min() < 0 or error[good].max() > 100:
        raise UserError(
            f"{path} has errors outside of 0 to 100 percent, from {error[good].min():g} to {error[good].max():g}"
        )
    return family, codes[good], error[good]


# truths --------------------------------------------------------------------------------------------------------------


def read_truth(source: str | Path, supernet: str | None) -> Truth:
    """Errors and multiply-adds of a run, a table, a fitted truth; or `dtlz2`. Raises `UserError` for anything else."""
    path = Path(source)
    if source == DTLZ2:
        return dtlz2(3, 10)
    if path.is_dir():
        return run_truth(path)
    if path.suffix == ".npz":
        return fitted(path)
    family, codes, error = read_errors(path, supernet)
    task = Classification(TABLE_CLASSES)
    madds = exact_counts(family, task, 3)[COST]
    values = np.column_stack([error, madds(codes)])
    reference = values.max(axis=0)
    lower, upper = codes.min(axis=0), codes.max(axis=0)
    variables = [variable.within(int(lower[v]), int(upper[v])) for v, variable in enumerate(family.space.variables)]
    return Truth(
        SearchSpace(family.name, variables, family.space.rules),
        tabular(codes, {ERROR: error}),
        list(DEFAULT),
        {COST: madds},
        reference,
        hypervolume(values, reference),
        candidates=codes,
        known=[stage_counts(family, task, 3)],
    )


def run_truth(directory: Path) -> Truth:
    """The subnets of a run under its latest weights, measured when they are asked for."""
    run = Run(directory)
    channels = run.facts["data"]["channels"]
    madds = exact_counts(run.family, run.task, channels)[COST]
    errors = RunErrors(directory)
    largest = float(madds(run.family.space.corners()[1:])[0])
    return Truth(
        run.family.space,
        errors,
        list(DEFAULT),
        {COST: madds},
        np.array([run.task.chance(np.asarray(errors.images.labels)), 1.05 * largest]),
        known=[stage_counts(run.family, run.task, channels)],
    )


def costs_of(directory: Path) -> Table:
    """A table of the seconds of a transfer by what they were spent on."""
    seconds = phase_seconds(read_events(directory))
    parts = {
        "preparation": ("scan", "probe", "soft", "folds", "tune", "larger", "body", "prepare"),
        "search: measuring": ("measure",),
        "search: predictor and search": ("fit", "search"),
        "search: adapting the weights": ("adapt",),
        "after the search": ("last", "classifiers", "final", "report"),
        "the rest": ("other",),
    }
    whole = sum(seconds.values()) or 1.0
    rows = []
    for part, phases in parts.items():
        spent = sum(seconds.get(phase, 0.0) for phase in phases)
        rows.append([part, duration(spent), f"{100 * spent / whole:.0f}%"])
    return Table(f"What {directory} spent", ["part", "time", "share"], rows)


# shared by both ------------------------------------------------------------------------------------------------------


def name_of_source(source: str | Path) -> str:
    """Name of a source as it was given; of a run with its checkpoint, since other weights have other errors."""
    if not Path(source).is_dir():
        return str(source)
    return f"{source}, weights {Run(source).checkpoints.latest()}"


def known_of(family: Family, task: Task, channels: int) -> list[Counts]:
    """Functions for known numbers of a family's architectures with a task's head, on images with so many channels."""
    counts = exact_counts(family, task, channels)
    return [*(counts[name] for name in LEARNT), stage_counts(family, task, channels)]


class RunErrors:
    """Errors of subnets of a run under its latest weights: an `evaluate` that can be sent to other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def __call__(self, codes: Codes) -> dict[str, Floats]:
        """Percent of the validation images, `(n,)`; nan where a subnet cannot be measured."""
        return {ERROR: opened_error(self.directory).measure(codes).values}

    def timed(self, text: str) -> Row:
        """Error and seconds of one architecture by its string."""
        space = opened_error(self.directory).subnets.supernet.family.space
        codes = space.codes([space.parse(text)])
        start = time.perf_counter()
        value = float(self(codes)[ERROR][0])
        return {"architecture": text, "error": value, "seconds": time.perf_counter() - start}

    @property
    def images(self) -> Images:
        """Validation images that errors are measured on."""
        return opened_error(self.directory).images


@cache
def opened_error(directory: Path) -> Error:
    """The error objective on a run's supernet, opened once in each process. Raises `UserError`."""
    run = Run(directory)
    dataset = reopen_data(run, None, Watch((), time.monotonic()))
    images: Images = Pixels(dataset, dataset.splits["val"], run.family.resolutions, run.facts["pixels"]["views"])
    with closing(run.archive()) as archive:
        chosen = archive.decision(journal.CHOSEN_IMAGES)
    if chosen is not None:
        images = chosen_images(images, run.settings.seed, *chosen)
    device = make_fabric().device
    return Error(
        Subnets(run.trained_supernet(), run.stored("calibration"), device, run.keeps_statistics), run.task, images
    )
