"""Limits from above and from below, as texts, on values, and in a search."""

import numpy as np
import pytest

from naturalize.errors import UserError
from naturalize.objectives.requirement import parse_requirement
from naturalize.run import Settings
from naturalize.space import SearchSpace, Variable
from naturalize.workbench import search_problem

WINDOWS = {
    "200M<=madds<=600M": [0, 1, 1, 1, 0],
    " 200M < madds < 600M ": [0, 0, 1, 0, 0],
    "0.2G<madds<=600M": [0, 0, 1, 1, 0],
    "madds<=600M": [1, 1, 1, 1, 0],
}
VALUES = np.array([199_999_999, 200_000_000, 400_000_000, 600_000_000, 600_000_001])


@pytest.mark.parametrize(("text", "met"), WINDOWS.items())
def test_a_window_has_two_ends(text: str, met: list[int]) -> None:
    found = parse_requirement(text)
    assert (found.objective, found.text) == ("madds", text.strip())
    assert found.met(VALUES).tolist() == [bool(each) for each in met]
    assert [found.excess(float(value)) <= 1 for value in VALUES[[0, 2, 4]]] == [bool(met[n]) for n in (0, 2, 4)]


@pytest.mark.parametrize("text", ["2M<madds", "2M<madds>1M", "2M>madds>1M", "<madds<5M", "2M<<madds<5M", "5M<madds<5M"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="2M<madds<5M"):
        parse_requirement(text)


def test_a_search_keeps_to_a_window() -> None:
    space = SearchSpace("boxes", [Variable("width", 1, 40), Variable("height", 1, 40)])
    settings = Settings("boxes", requirements=("30K<=madds<=50K", "madds<45K"), iterations=1, epochs=1)
    costs = {name: lambda codes: 1e3 * codes.prod(axis=1) for name in ("madds", "params")}
    problem = search_problem(settings, space, costs)
    every = space.sample_distinct(space.size, np.random.default_rng(0))
    allowed = {tuple(row) for row in every[problem.allowed(every)].tolist()}
    assert allowed == {(w, h) for w in range(1, 41) for h in range(1, 41) if 30 <= w * h < 45}
    assert len(problem.sample(20, np.random.default_rng(1))) == 20
