"""The interface of every search: it is asked which architectures to measure, and told their results."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from naturalize import rng
from naturalize.errors import whole
from naturalize.search.problem import Floats, SearchProblem
from naturalize.search.survival import HUGE
from naturalize.space import Codes, unique_rows


class Searcher(ABC):
    """A search by ask and tell, in any order and any number.

    - `ask(n)` gives at most n architectures: valid, within the limits on exact functions, distinct, none of them asked
      or told before. Fewer while results are pending; none with nothing pending means that the space is exhausted.
    - `tell(codes, values)` may come late, in parts, in any order, and for architectures that nobody asked for. Values
      that are not finite are failures: they are not asked again, and no predictor learns from their values.
    - The same problem, seed and sequence of calls gives the same answers. Draws depend on the number of calls alone.

    A subclass says what to `propose`; this class keeps account of it.

    Args:
        problem: what is searched.
        seed: of all draws.

    Attributes:
        codes, values: told architectures with finite values, `(n, d)` and `(n, m)`; values beyond `HUGE` count as that.
        failed: told architectures without finite values, `(f, d)`.
    """

    def __init__(self, problem: SearchProblem, seed: int) -> None:
        self.problem = problem
        self.seed = rng.check_seed(seed)
        self.step = 0
        self.codes: Codes = np.empty((0, len(problem.space)), dtype=np.int64)
        self.values: Floats = np.empty((0, len(problem.objectives)))
        self.failed: Codes = self.codes
        self._pending: dict[tuple[int, ...], None] = {}
        self._known: set[tuple[int, ...]] = set()

    def ask(self, n: int) -> Codes:
        """Architectures to measure next, `(k, d)`, k <= n."""
        found = self.fresh(self.propose(whole("the number of architectures", n, 0)))[:n]
        self.step += 1
        rows = [tuple(row) for row in found.tolist()]
        self._pending.update(dict.fromkeys(rows))
        self._known.update(rows)
        return found

    def tell(self, codes: Codes, values: Floats) -> None:
        """Take the results of architectures `(n, d)`: all objectives `(n, m)`, nan where a measurement failed.

        Raises `UserError` for other shapes, and for codes that are no architectures of the space.
        """
        codes, values = self.problem.checked(codes, values)
        for row in map(tuple, codes.tolist()):
            self._pending.pop(row, None)
            self._known.add(row)
        finite = np.isfinite(values).all(axis=1)
        self.codes = np.concatenate([self.codes, codes[finite]])
        now = set(map(tuple, codes.tolist()))
        still = np.array([tuple(row) not in now for row in self.failed.tolist()], dtype=bool)
        self.failed = np.concatenate([self.failed[still], codes[~finite]])
        self.values = np.concatenate([self.values, values[finite].clip(-HUGE, HUGE)])

    @abstractmethod
    def propose(self, n: int) -> Codes:
        """Architectures in order of preference; those that may not be asked are left out by `ask`."""

    @property
    def batch(self) -> int:
        """Architectures to ask for at once, where batches are evaluated one after the other."""
        return 4

    @property
    def pending(self) -> Codes:
        """Architectures that were asked and not told yet, `(p, d)`."""
        return np.array(list(self._pending), dtype=np.int64).reshape(-1, len(self.problem.space))

    @property
    def n_known(self) -> int:
        """Number of architectures that were asked or told."""
        return len(self._known)

    def fresh(self, codes: Codes) -> Codes:
        """The distinct rows that may be asked, in their order."""
        codes = unique_rows(codes)
        new = np.array([tuple(row) not in self._known for row in codes.tolist()], dtype=bool)
        codes = codes[new]
        return codes[self.problem.allowed(codes)]

    def generator(self, purpose: str) -> np.random.Generator:
        """The generator of the draws for one purpose in this call of `ask`."""
        return rng.generator(self.seed, purpose, self.step)

    def uniform(self, n: int) -> Codes:
        """Up to n fresh architectures, drawn uniformly."""
        found = self.fresh(self.problem.sample(n + 2 * self.n_known, self.generator("uniform")))
        return found[:n]

    def initial(self, n: int) -> Codes:
        """Up to n fresh architectures: the corners, as far as they are allowed, then uniform ones."""
        corners = self.fresh(self.problem.space.corners())
        return np.concatenate([corners, self.uniform(n)])[:n]
