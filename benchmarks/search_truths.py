"""The default search on truths that no choice was made on: a region far wider than the front, and rough errors.

    python benchmarks/search_truths.py                                    # seed 200
    python benchmarks/search_truths.py --truths rough-1 steep --seeds 2

Architectures and multiply-adds are those of Once-for-All's MobileNetV3 of width 1.2 at 224 px, or at its resolutions.
Errors are made up, and the same on every machine: of the networks that were fitted to measured accuracies, with the
effects of layers changed at random; of these and a random network of the layers (rough); of the fitted networks, their
inputs larger (steep); a power of the multiply-adds and a random network (power). All are shifted and stretched, so that
the front goes from 20.4 to 27.5% or so. Nothing counts beyond 25% and 1,000 M; where there are no limits, the search is
not told so. Shares of the best hypervolume that an evolution on the truth itself finds in some 250,000 evaluations,
after 60, 100 and 250 evaluations of the search. Needs ../shared/data/ofa-mbv3-w1.0-truth.npz.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import numpy as np
from common import SHARED, write
from numpy.typing import NDArray

from naturalize.objectives import COST, DEFAULT, ERROR
from naturalize.objectives.exact import Exact, stage_counts
from naturalize.search import hypervolume, non_dominated, search
from naturalize.search.operators import Operators
from naturalize.search.problem import Function
from naturalize.space import Codes, SearchSpace, unique_rows
from naturalize.study.truths import fitted_error, layer_features, silu
from naturalize.supernet import make_family
from naturalize.tasks import Classification

Floats = NDArray[np.float64]
Error = Callable[[Codes], Floats]

FITTED = SHARED / "ofa-mbv3-w1.0-truth.npz"
REFERENCE = np.array([25.0, 1e9])
CHECKPOINTS = (60, 100, 250)
FAMILY, TASK = make_family("ofa-mbv3-w1.2", 224), Classification(1000)
LAYERS, OPTIONS = 20, 7  # positions of layers, and what is known of each
SMALLEST_AT = 27.5  # error of the front's smallest architecture, unless told otherwise
CHILDREN, GENERATIONS, STARTS = 400, 170, 3  # of the evolution on the truth


def changed(seed: int, spread: float, swapped: bool = False) -> Error:
    """The fitted error, the effects of layers and of their options changed at random, stages swapped or not."""
    draw = np.random.default_rng(seed)
    factors = np.exp(spread * draw.normal(size=(LAYERS, 1))) * np.exp(
        0.5 * spread * draw.normal(size=(LAYERS, OPTIONS))
    )
    order = draw.permutation(5) if swapped else np.arange(5)

    def features(codes: Codes) -> Floats:
        by_stage = layer_features(codes).reshape(-1, 5, 4, OPTIONS)[:, order]
        return (by_stage.reshape(-1, LAYERS, OPTIONS) * factors).reshape(len(by_stage), -1)

    return fitted_error(FITTED, features)


def rough(seed: int, spread: float, amount: float, gain: float) -> Error:
    """A changed error with a random network of the layers added."""
    draw, smooth = np.random.default_rng(1000 + seed), changed(seed, spread)
    first, bias = gain * draw.normal(size=(LAYERS * OPTIONS, 60)) / np.sqrt(40), draw.normal(size=60)
    second, third = draw.normal(size=(60, 60)) * np.sqrt(2 / 60), draw.normal(size=60) / np.sqrt(60)

    def error(codes: Codes) -> Floats:
        hidden = np.tanh(np.tanh(layer_features(codes) @ first + bias) @ second)
        return smooth(codes) + amount * (hidden @ third)

    return error


def steep(seed: int, spread: float, gain: float) -> Error:
    """The fitted error, what it knows of each layer further from the mean."""
    draw = np.random.default_rng(2000 + seed)
    factors = gain * np.exp(spread * draw.normal(size=(LAYERS, OPTIONS))).ravel()
    middle = layer_features(space_of(False).sample(2000, draw)).mean(0)
    return fitted_error(FITTED, lambda codes: middle + (layer_features(codes) - middle) * factors)


def power(seed: int, amount: float) -> Error:
    """A power of the multiply-adds, returns of each layer that diminish, and a random network."""
    draw, madds = np.random.default_rng(seed), Exact(COST, FAMILY, TASK, 3)
    first, bias = draw.normal(size=(LAYERS * OPTIONS, 40)) / np.sqrt(40), draw.normal(size=40)
    second, third = draw.normal(size=(40, 20)) / np.sqrt(20) * 0.6, draw.normal(size=20)
    worth = np.exp(0.7 * draw.normal(size=LAYERS))[:, None] * np.array([0, 0.25, 0.4, 0, 0.4, 0.6, 1.0])
    worth = worth * np.exp(0.3 * draw.normal(size=(LAYERS, OPTIONS)))
    most = worth[:, [2, 5, 6]].sum()

    def error(codes: Codes) -> Floats:
        x = layer_features(codes)
        quality = np.exp(-3 * (x @ worth.ravel()) / most)
        hidden = silu(silu(x @ first + bias) @ second) @ third
        return 8 * (madds(codes) / 1e9) ** -0.35 + 12 * quality + amount * hidden

    return error


def at_resolutions(error: Error) -> Error:
    """An error that grows towards smaller pictures, the more the larger it is."""
    sides = np.array(FAMILY.resolutions)

    def of(codes: Codes) -> Floats:
        smaller = np.log(sides.max() / sides[np.asarray(codes)[:, 0]]) ** 1.3
        return error(codes) + 9 * smaller * (0.3 + 0.03 * error(codes))

    return of


@dataclass(frozen=True)
class Made:
    """A truth.

    Attributes:
        error: returns its error, before it is stretched.
        best_at, smallest_at: the error's lowest value on the front, and that of the front's smallest architecture.
        limited: whether a search is told what counts.
        resolutions: whether the architectures have several.
    """

    error: Callable[[], Error]
    smallest_at: float = SMALLEST_AT
    best_at: float = 20.4
    limited: bool = True
    resolutions: bool = False


TRUTHS = {
    "layers-1": Made(lambda: changed(3, 0.4)),
    "layers-2": Made(lambda: changed(4, 0.6, swapped=True)),
    "layers-1, no limits": Made(lambda: changed(3, 0.4), limited=False),
    "steep": Made(lambda: steep(3, 0.5, 2.5)),
    "rough-1": Made(lambda: rough(17, 0.4, 0.4, 2.0)),
    "rough-2": Made(lambda: rough(18, 0.6, 0.3, 2.0)),
    "resolutions": Made(lambda: at_resolutions(fitted_error(FITTED)), smallest_at=36.0, resolutions=True),
    "power": Made(lambda: power(2, 1.0), smallest_at=28.0, best_at=20.0),
}


def space_of(resolutions: bool) -> SearchSpace:
    """The family's space, or the part of it at 224 px."""
    first, *others = FAMILY.space.variables
    at = FAMILY.resolutions.index(224)
    return (
        FAMILY.space if resolutions else SearchSpace(FAMILY.name, [first.within(at, at), *others], FAMILY.space.rules)
    )


def evolved(
    space: SearchSpace,
    values_of: Function,
    generations: int,
    seed: int,
    start: Codes | None = None,
    inside: bool = True,
) -> tuple[Codes, Floats]:
    """The front that an evolution on a truth ends with, within the region or anywhere: codes and values."""
    generator, operators = np.random.default_rng(seed), Operators(space)
    codes = unique_rows(
        np.concatenate([space.corners(), space.sample(1000, generator), *([] if start is None else [start])])
    )
    values = values_of(codes)
    for _ in range(generations):
        counts = (values < REFERENCE).all(axis=1)
        if inside and counts.any():
            codes, values = codes[counts], values[counts]
        kept = non_dominated(values)
        children = unique_rows(operators.children(codes[kept], CHILDREN, generator))
        codes = np.concatenate([codes[kept], children])
        values = np.concatenate([values[kept], values_of(children)])
        codes, first = np.unique(codes, axis=0, return_index=True)
        values = values[first]
    kept = non_dominated(values)
    return codes[kept], values[kept]


def shares(name: str, seeds: range) -> list[list[float]]:
    """By seed, the shares of the best hypervolume at the checkpoints."""
    made = TRUTHS[name]
    space, raw, madds = space_of(made.resolutions), made.error(), Exact(COST, FAMILY, TASK, 3)
    _, ends = evolved(space, lambda codes: np.column_stack([raw(codes), madds(codes)]), 60, 0, inside=False)
    low, high = ends[:, 0].min(), ends[ends[:, 1].argmin(), 0]
    stretch = (made.smallest_at - made.best_at) / (high - low)

    def error(codes: Codes) -> Floats:
        return made.best_at + stretch * (raw(codes) - low)

    def both(codes: Codes) -> Floats:
        return np.column_stack([error(codes), madds(codes)])

    starts = [evolved(space, both, GENERATIONS, seed)[0] for seed in range(STARTS)]
    best = hypervolume(evolved(space, both, GENERATIONS, 9, np.concatenate(starts))[1], REFERENCE)
    limits = dict(zip(DEFAULT, REFERENCE.tolist(), strict=True)) if made.limited else {}
    found = []
    for seed in seeds:
        archive = search(
            space,
            lambda codes: {ERROR: error(codes)},
            list(DEFAULT),
            exact={COST: madds},
            limits=limits,
            known=[stage_counts(FAMILY, TASK, 3)],
            evaluations=CHECKPOINTS[-1],
            seed=seed,
        )
        curve = archive.hypervolumes(REFERENCE) / best
        found.append([round(float(curve[number - 1]), 4) for number in CHECKPOINTS])
    return found


def main() -> None:
    """Search, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", nargs="+", choices=list(TRUTHS), default=list(TRUTHS))
    parser.add_argument("--first-seed", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    table = {}
    for name in asked.truths:
        table[name] = shares(name, range(asked.first_seed, asked.first_seed + asked.seeds))
        print(
            f"{name:>20}  " + " / ".join(f"{mean(column):.3f}" for column in zip(*table[name], strict=True)), flush=True
        )
    write("search-truths", {"checkpoints": CHECKPOINTS, "first_seed": asked.first_seed, "shares": table})


if __name__ == "__main__":
    main()
