"""On any space, whatever its bounds, groups, factors and rules: only valid, allowed and new ones are measured."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from naturalize.search import METHODS, search
from naturalize.space import Codes, SearchSpace, Variable


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """One to six variables: plain ones, layers that may be absent, chains of layers."""
    variables: list[Variable] = []
    rules: list[tuple[int, int]] = []
    for number in range(draw(st.integers(1, 6))):
        lower = draw(st.integers(0, 2))
        upper = lower + draw(st.integers(0, 4))
        group = draw(st.sampled_from(["", "a", "b"]))
        factors = (("size", tuple(float(2 * code + 1) for code in range(1, upper + 1))),)
        with_factors = upper > 0 and draw(st.booleans())
        variables.append(Variable(f"v{number}", lower, upper, group, factors if with_factors else ()))
        if number and lower == 0 and draw(st.booleans()):
            rules.append((number, number - 1))
    return SearchSpace("any", variables, rules)


@given(spaces(), st.sampled_from(METHODS), st.integers(1, 3), st.integers(0, 5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_only_valid_allowed_and_new_architectures_are_measured(
    space: SearchSpace, method: str, n_objectives: int, seed: int, limited: bool
) -> None:
    asked: list[tuple[int, ...]] = []
    limited = limited and space.size > 1  # the limit leaves out the largest architecture

    def cost(codes: Codes) -> NDArray[np.float64]:
        return 1.0 + codes.sum(axis=1)

    limit = float(cost(space.corners())[1]) - 1

    def evaluate(codes: Codes) -> dict[str, Any]:
        assert space.is_valid(codes).all()
        assert not limited or (cost(codes) <= limit).all()
        asked.extend(map(tuple, codes.tolist()))
        return {f"f{number}": np.cos(codes + number).sum(axis=1) for number in range(n_objectives)}

    names = ["cost", *(f"f{number}" for number in range(n_objectives))]
    limits = {"cost": limit} if limited else {}
    archive = search(
        space, evaluate, names, exact={"cost": cost}, limits=limits, method=method, evaluations=30, seed=seed
    )
    assert len(asked) == len(set(asked)) == len(archive) <= 30
    if not limited:
        assert len(archive) == min(30, space.size)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("limit", [1.0, 2.0])
def test_a_space_that_is_soon_used_up_ends_the_search(method: str, options: tuple[int, int], limit: float) -> None:
    space = SearchSpace("small", [Variable(f"v{i}", 0, count - 1) for i, count in enumerate(options)])

    def cost(codes: Codes) -> NDArray[np.float64]:
        return 1.0 + codes.sum(axis=1)

    def evaluate(codes: Codes) -> dict[str, Any]:
        return {"error": np.cos(codes).sum(axis=1)}

    names, limits = ["cost", "error"], {"cost": limit}
    archive = search(space, evaluate, names, exact={"cost": cost}, limits=limits, method=method)
    assert len(archive) == (cost(space.sample_distinct(4, np.random.default_rng(0))) <= limit).sum()
