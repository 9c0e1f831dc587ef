"""The first archive of a transfer."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np

from naturalize import rng
from naturalize.run import Run, source_from
from naturalize.search import SearchProblem
from naturalize.space import Architecture, Codes, unique_rows
from naturalize.workbench import Workbench


def first_members(bench: Workbench, n: int, problem: SearchProblem | None = None) -> list[tuple[Architecture, str]]:
    """Up to n architectures with their origins: another run's best, corners, then uniform ones.

    Where one network was published, the largest one with more or less left out comes in place of uniform ones.

    Args:
        bench: of the run.
        n: number of architectures.
        problem: whose limits they meet; the run's own unless told.
    """
    problem = problem or bench.problem
    bench = replace(bench, problem=problem)
    space = bench.space
    carried, corners = carried_codes(bench, n // 2), space.corners()
    generator = rng.generator(bench.seed, "initial archive")
    first = corners[problem.allowed(corners)]
    if bench.starts_whole:
        first = np.concatenate([first, around_the_largest(bench, n - len(carried) - len(first), generator)])
    codes = unique_rows(np.concatenate([carried, first, problem.sample(n, generator)]))[:n]
    origin = {tuple(row): "user" for row in carried.tolist()}
    origin |= {tuple(row): "trimmed" for row in first.tolist()}
    origin |= {tuple(row): "corner" for row in corners.tolist()}
    origins = [origin.get(tuple(row), "uniform") for row in codes.tolist()]
    return list(zip(space.architectures(codes), origins, strict=True))


def around_the_largest(bench: Workbench, n: int, generator: np.random.Generator) -> Codes:
    """Up to n allowed architectures: the largest one at every resolution, then with more or less left out."""
    trimmed = bench.space.sample_trimmed(max(0, 2 * n), generator)
    return np.concatenate([wholes(bench), trimmed[bench.problem.allowed(trimmed)]])[:n]


def wholes(bench: Workbench) -> Codes:
    """The largest architecture at each resolution that meets the requirements; none where it was not published."""
    codes = bench.space.wholes()
    return codes[bench.problem.allowed(codes) & bench.starts_whole]


def carried_codes(bench: Workbench, n: int) -> Codes:
    """Up to n architectures of the run that seeds the archive, its front first; all meet the requirements.

    A resolution that this run does not train becomes the nearest that it does.
    """
    kept, space = bench.run.settings.archive, bench.space
    if kept is None:
        return np.empty((0, len(space)), dtype=np.int64)
    other = Run(source_from(kept, bench.run.directory))
    front = [other.family.space.parse(network.architecture) for network in other.front()]
    with closing(other.archive()) as archive:
        last = max((facts["iteration"] for facts in archive.iterations()), default=0)
        codes = other.family.space.codes([*front, *archive.members(last)])
    sides = np.array(other.family.resolutions)[codes[:, 0]]
    codes[:, 0] = np.abs(sides[:, None] - np.array(bench.run.trained)).argmin(axis=1)
    codes = unique_rows(codes)
    return codes[space.is_valid(codes) & bench.problem.allowed(codes)][:n]
