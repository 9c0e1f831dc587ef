"""Truths: stand-ins that give the results of an expensive evaluation at once, to try searches and predictors on."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from naturalize.errors import UserError
from naturalize.objectives import COST, DEFAULT, ERROR
from naturalize.search import SearchArchive, search
from naturalize.search.evaluations import Evaluate
from naturalize.search.methods import AUTO, GUIDED, MakeSearcher
from naturalize.search.problem import Function
from naturalize.space import Codes, SearchSpace, Variable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """A cheap stand-in for an expensive function, and all else that a search needs.

    Attributes:
        evaluate: function from codes `(n, d)` to the objectives that are not exact.
        reference: reference point of hypervolume, `(m,)`.
        best: the largest hypervolume known, as a share of the box from 0 to the reference; None where none is known.
    """

    space: SearchSpace
    evaluate: Callable[[Codes], dict[str, Floats]]
    objectives: Sequence[str]
    exact: dict[str, Function]
    reference: Floats
    best: float | None = None
    candidates: Codes | None = None
    known: Sequence[Callable[[Codes], Floats]] = field(default_factory=tuple)

    @property
    def limits(self) -> dict[str, float]:
        """Limits on the objectives: the reference point, since values beyond it count for nothing."""
        return dict(zip(self.objectives, self.reference.tolist(), strict=True))

    def search(
        self,
        evaluations: int,
        *,
        method: str | MakeSearcher = AUTO,
        seed: int = 0,
        evaluate: Evaluate | None = None,
    ) -> SearchArchive:
        """Search the truth. Returns everything measured.

        Args:
            evaluations: how many in all.
            method, seed: as of `naturalize.search.search`.
            evaluate: in place of the truth's own.
        """
        return search(
            self.space,
            evaluate or self.evaluate,
            self.objectives,
            exact=self.exact,
            limits=self.limits,
            candidates=self.candidates,
            known=self.known if method in GUIDED else (),
            method=method,
            evaluations=evaluations,
            seed=seed,
        )

    def shares(self, archive: SearchArchive) -> Floats:
        """Share of the best hypervolume known after each evaluation; hypervolume itself where none is known."""
        return archive.hypervolumes(self.reference) / (self.best or 1.0)


def dtlz2(n_objectives: int, n_variables: int = 20, steps: int = 11, exact: Sequence[int] = ()) -> Truth:
    """DTLZ2 on a grid (Deb et al., 2005), whose front is the part of the unit sphere without negative values.

    Args:
        n_objectives: number of objectives, f1, f2 and so on.
        n_variables: of the space; the last ones decide how far from the front a point is.
        steps: options of each variable, an odd number, so that the grid holds the front's distance variables.
        exact: numbers of the objectives that are given in closed form; f1 is number 0.
    """
    space = SearchSpace("dtlz2", [Variable(f"x{i}", 0, steps - 1) for i in range(1, n_variables + 1)])

    def all_of(codes: Codes) -> Floats:
        x = np.asarray(codes) / (steps - 1)
        angles = x[:, : n_objectives - 1] * np.pi / 2
        radius = 1 + ((x[:, n_objectives - 1 :] - 0.5) ** 2).sum(axis=1)
        cosines = np.cumprod(np.concatenate([np.ones((len(x), 1)), np.cos(angles)], axis=1), axis=1)[:, ::-1]
        sines = np.concatenate([np.ones((len(x), 1)), np.sin(angles)[:, ::-1]], axis=1)
        return radius[:, None] * cosines * sines

    def measured(codes: Codes) -> dict[str, Floats]:
        values = all_of(codes)
        return {name: values[:, c] for c, name in enumerate(names) if c not in exact}

    def one_of(column: int, codes: Codes) -> Floats:
        return all_of(codes)[:, column]

    names = [f"f{number}" for number in range(1, n_objectives + 1)]
    return Truth(
        space,
        measured,
        names,
        {names[c]: partial(one_of, c) for c in exact},
        np.full(n_objectives, 1.1),
    )


def igd_plus(values: ArrayLike, front: ArrayLike) -> float:
    """Mean distance of a front's points to the nearest value, in worse objectives only (Ishibuchi et al., 2015).

    Shapes: `(n, m), (k, m)`.
    """
    worse = np.maximum(np.asarray(values)[None] - np.asarray(front)[:, None], 0)
    return float(np.sqrt((worse**2).sum(axis=2)).min(axis=1).mean())


def layer_features(codes: Codes) -> Floats:
    """One-hot kernel, one-hot expansion, presence of layers of Once-for-All's MobileNetV3. `(n, 22) -> (n, 140)`."""
    layers = np.asarray(codes)[:, 2:, None]
    present = layers > 0
    kernel, expansion = (layers - 1) % 3 == np.arange(3), (layers - 1) // 3 == np.arange(3)
    found = np.concatenate([kernel & present, expansion & present, present], axis=2)
    return found.reshape(len(layers), -1).astype(np.float64)


def silu(x: Floats) -> Floats:
    """The sigmoid linear unit, x / (1 + exp(-x))."""
    return x / (1 + np.exp(-x))


def fitted_error(path: str | Path, features: Function = layer_features) -> Function:
    """A function from codes to errors in percent: five small networks, fitted to measured ImageNet accuracies.

    Args:
        path: of the file with the networks. Raises `UserError` for a file without them.
        features: function from codes `(n, d)` to what the networks are given, `(n, 140)`.
    """
    names = ["mean", "std", *(f"{kind}{member}{layer}" for kind in "wb" for member in range(5) for layer in range(3))]
    try:
        with np.load(path) as file:
            weights = {name: file[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as damage:
        raise UserError(
            f"{path} is no fitted truth, or a damaged one: it has no {', '.join(names[:3])} ..."
        ) from damage

    def error(codes: Codes) -> Floats:
        x = features(codes)
        members = []
        for i in range(5):
            hidden = silu(x @ weights[f"w{i}0"] + weights[f"b{i}0"])
            hidden = silu(hidden @ weights[f"w{i}1"] + weights[f"b{i}1"])
            members.append((hidden @ weights[f"w{i}2"] + weights[f"b{i}2"])[:, 0])
        return 100 - (np.mean(members, axis=0) * float(weights["std"]) + float(weights["mean"]))

    return error


BEST_KNOWN = 1324.33  # hypervolume of the fitted truth: percent times millions of multiply-adds, from (27%, 500 M)


def fitted(path: str | Path) -> Truth:
    """Error and multiply-adds of Once-for-All's MobileNetV3 of width 1.0 at 224 px, by `fitted_error`."""
    from naturalize.objectives.exact import Exact, stage_counts
    from naturalize.supernet import make_family
    from naturalize.tasks import Classification

    family, task = make_family("ofa-mbv3-w1.0", 224), Classification(1000)
    at_224 = family.resolutions.index(224)
    resolution, *others = family.space.variables
    space = SearchSpace(family.name, [resolution.within(at_224, at_224), *others], family.space.rules)
    error, reference = fitted_error(path), np.array([27.0, 5e8])
    return Truth(
        space,
        lambda codes: {ERROR: error(codes)},
        list(DEFAULT),
        {COST: Exact(COST, family, task, 3)},
        reference,
        BEST_KNOWN / (reference[0] * reference[1] / 1e6),
        known=[stage_counts(family, task, 3)],
    )


def read_table(path: str | Path, space: SearchSpace) -> tuple[Codes, dict[str, Floats]]:
    """Read a CSV table of architectures with a header: strings under `architecture`, numbers under other names.

    Returns:
        Codes `(n, d)`, and columns `(n,)` by name; nan where a cell is empty. Columns of text are left out.

    Raises:
        UserError: for another kind of file.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, names = list(reader), list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no text with commas: {error}") from error
    if "architecture" not in names:
        what = "no table of architectures" if names else "empty"
        raise UserError(f"{path} is {what}: its first line names its columns, `architecture` among them")
    codes = space.codes([space.parse(row["architecture"] or "") for row in rows])
    columns = {}
    for name in names:
        with suppress(ValueError):
            columns[name] = np.array([float(row[name] or "nan") for row in rows])
    return codes, {name: column for name, column in columns.items() if name != "architecture"}


def tabular(codes: Codes, columns: dict[str, Floats]) -> Callable[[Codes], dict[str, Floats]]:
    """An `evaluate` that looks codes up in a table; nan for those that are not in it."""
    places = {tuple(row): place for place, row in enumerate(np.asarray(codes).tolist())}

    def evaluate(asked: Codes) -> dict[str, Floats]:
        found = np.array([places.get(tuple(row), -1) for row in np.asarray(asked).tolist()])
        return {name: np.where(found < 0, np.nan, values[found]) for name, values in columns.items()}

    return evaluate
