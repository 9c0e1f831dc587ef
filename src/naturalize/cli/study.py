"""`naturalize study`: the paper's experiments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from naturalize.run import Watch
    from naturalize.study.study import Findings

study_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    short_help="The paper's experiments, on your own runs, tables and data.",
    help="The paper's experiments on your own runs, tables and data: each gives a page, a table and a conclusion.",
)

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", show_default=False)]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where page and table are written; go on by the same command.")]
Table = Annotated[
    str | None, typer.Option("--supernet", metavar="NAME", help="That the architectures of a table (.csv) are of.")
]
Seeds = Annotated[int, typer.Option(metavar="N", help="Repetitions, each with a seed of its own.")]
Evaluations = Annotated[int, typer.Option(metavar="N", help="Of each search.")]
Jobs = Annotated[int, typer.Option(metavar="N", help="Experiments at once; one on each CPU unless told.")]

Data = Annotated[list[str], typer.Argument(metavar="DATA...", show_default=False)]
Budget = Annotated[str, typer.Option(metavar="TIME", help="Of each run.")]
Start = Annotated[str | None, typer.Option("--supernet", metavar="NAME|PATH", help="As `transfer` has it.")]


@study_app.command(short_help="Which predictor ranks best, after how many measurements?")
def predictors(
    sources: Sources,
    out: Out = Path("studies/predictors"),
    supernet: Table = None,
    drawn: Annotated[
        int, typer.Option(metavar="N", help="Architectures of each run to draw and measure; 0: those of its archive.")
    ] = 350,
    predictor: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="One of several; all unless told.")
    ] = None,
    seeds: Seeds = 10,
    jobs: Jobs = -1,
) -> None:
    """Rank correlation of every predictor after 50 to 300 measurements, on runs and tables of architectures.

    \b
    Examples:
      naturalize study predictors runs/digits runs/cifar10
      naturalize study predictors accuracies.csv --supernet ofa-mbv3-w1.0
    """
    with telling() as watch:
        from naturalize.predictor import PREDICTORS
        from naturalize.study.studies import study_predictors

        names = predictor or tuple(PREDICTORS)
        found = study_predictors(
            sources,
            out,
            supernet=supernet,
            drawn=drawn,
            predictors=names,
            seeds=seeds,
            jobs=jobs,
            progress=watch.progress,
        )
    show(found)


@study_app.command(short_help="How much does each search find, after how many evaluations?")
def search(
    sources: Sources,
    out: Out = Path("studies/search"),
    supernet: Table = None,
    method: Annotated[list[str] | None, typer.Option(metavar="NAME", help="One of several; all unless told.")] = None,
    evaluations: Evaluations = 250,
    seeds: Seeds = 10,
    jobs: Jobs = -1,
) -> None:
    """Hypervolume of every search after each number of evaluations: on runs, tables, fitted truths (.npz), `dtlz2`.

    \b
    Examples:
      naturalize study search dtlz2
      naturalize study search runs/digits --method auto --method nat --method random --seeds 3
      naturalize study search accuracies.csv --supernet ofa-mbv3-w1.0
    """
    with telling() as watch:
        from naturalize.search import METHODS
        from naturalize.study.studies import study_search

        names = method or METHODS
        found = study_search(
            sources, out, supernet=supernet, methods=names, evaluations=evaluations, seeds=seeds, jobs=jobs,
            progress=watch.progress,
        )  # fmt: skip
    show(found)


@study_app.command(short_help="What do crossover and mutation change?")
def operators(
    sources: Sources,
    out: Out = Path("studies/operators"),
    supernet: Table = None,
    evaluations: Evaluations = 250,
    seeds: Seeds = 10,
    jobs: Jobs = -1,
) -> None:
    """NSGA-III under a grid of crossover probability, mutation probability and index, on the sources of `study search`.

    \b
    Example:
      naturalize study operators dtlz2 accuracies.csv --supernet ofa-mbv3-w1.0
    """
    with telling() as watch:
        from naturalize.study.studies import study_operators

        found = study_operators(
            sources, out, supernet=supernet, evaluations=evaluations, seeds=seeds, jobs=jobs, progress=watch.progress
        )
    show(found)


@study_app.command(short_help="Adapt the supernet, or networks by themselves?")
def adaptation(
    data: Data,
    out: Out = Path("studies/adaptation"),
    budget: Budget = "5m",
    supernet: Start = None,
    seeds: Seeds = 3,
) -> None:
    """Adapting the supernet against uniform draws, and against training networks by themselves, in the same time.

    By themselves: subnets as a search tries them, the networks of a front, or the largest network, read at every
    resolution.

    \b
    Example:
      naturalize study adaptation digits cifar10-train.parquet --budget 5m
    """
    with telling() as watch:
        from naturalize.study.studies import study_adaptation

        found = study_adaptation(
            data, out, budget=budget, supernet=supernet, seeds=seeds, progress=watch.progress, listeners=watch.listeners
        )
    show(found)


@study_app.command(short_help="What do plain training, no trained weights, and several data sets at once change?")
def training(
    data: Data,
    out: Out = Path("studies/training"),
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="Of each run; a joint run has it for each data set.")
    ] = "5m",
    supernet: Start = None,
    seeds: Seeds = 3,
) -> None:
    """A transfer against one with plain augmentation and schedule, against one from nothing, and against one search
    over all data sets where there are several, in the same time.

    \b
    Example:
      naturalize study training digits clothing --budget 5m
    """
    with telling() as watch:
        from naturalize.study.studies import study_training

        found = study_training(
            data, out, budget=budget, supernet=supernet, seeds=seeds, progress=watch.progress, listeners=watch.listeners
        )
    show(found)


@contextmanager
def telling() -> Iterator[Watch]:
    """Yield a watch with progress on stderr; the same command goes on with a study that a signal stopped."""
    from naturalize.run import Watch
    from naturalize.terminal import Terminal

    with Terminal() as terminal:
        watch = Watch([terminal], time.monotonic())
        with watch.stoppable():
            yield watch


def show(found: Findings) -> None:
    """Print the conclusion and the paths of page and table."""
    print(found.conclusion)
    print(f"page: {found.page}, table: {found.page.with_name('results.csv')}")
