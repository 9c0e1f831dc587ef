"""Children are valid architectures, and each kind of mutation does what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naturalize.search.operators import Operators, neighbours
from naturalize.space import SearchSpace, Variable
from naturalize.supernet import FAMILIES, make_family

OWN = SearchSpace("own", [Variable("depth", 2, 5), Variable("width", 0, 9), Variable("fixed", 3, 3)])
SPACES = [OWN, *(make_family(name, 224 if name != "mini" else 32).space for name in sorted(FAMILIES))]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@given(seed=st.integers(0, 2**20))
def test_children_are_valid(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = space.sample(1 + seed % 30, rng)
    children = Operators(space).children(parents, 50, rng)
    assert children.shape == (50, len(space))
    assert space.is_valid(children).all()
    assert len(np.unique(children, axis=0)) > 5


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_crossover_takes_groups_whole(space: SearchSpace, rng: np.random.Generator) -> None:
    operators = Operators(space)
    first, second = space.sample(60, rng), space.sample(60, rng)
    children = operators.crossover(first, second, rng)
    for block in operators.blocks:
        of_first = (children[:, block] == first[:, block]).all(axis=1)
        of_second = (children[:, block] == second[:, block]).all(axis=1)
        assert (of_first | of_second).all()
        assert of_first.any()
        assert of_second.any()


def test_a_neighbour_differs_in_one_factor() -> None:
    space = make_family("ofa-mbv3", 224).space
    assert neighbours(space, 4, 5) == [2, 4, 6, 8]  # kernel 5, expansion 4: one of either changes
    assert neighbours(space, 0, 0) == [1]
    assert neighbours(OWN, 1, 4) == [3, 5]
    assert neighbours(OWN, 2, 3) == [3]


def test_one_variable_goes_to_a_neighbour_or_to_another_option(rng: np.random.Generator) -> None:
    space = make_family("ofa-mbv3", 224).space
    codes = space.sample(300, rng)
    operators = Operators(space)
    near = operators.to_neighbour(codes.copy(), rng)
    changed = near != codes
    assert (changed.sum(axis=1) <= 1).all()
    assert changed.any()
    for row, column in zip(*np.nonzero(changed), strict=True):
        assert near[row, column] in neighbours(space, column, int(codes[row, column]))
    other = operators.to_any(codes.copy(), rng)
    assert ((other != codes).sum(axis=1) == 1).all()
    assert ((other >= space.lower) & (other <= space.upper)).all()


def test_depth_changes_by_one_layer_at_the_end_of_a_group(rng: np.random.Generator) -> None:
    space = make_family("ofa-mbv3", 224).space
    codes = space.sample(300, rng)
    other = Operators(space).to_other_depth(codes.copy(), rng)
    assert space.is_valid(other).all()
    depth = (codes[:, 2:].reshape(-1, 5, 4) > 0).sum(axis=2)
    change = (other[:, 2:].reshape(-1, 5, 4) > 0).sum(axis=2) - depth
    assert set(change.sum(axis=1).tolist()) == {-1, 0, 1}
    assert (np.abs(change).sum(axis=1) <= 1).all()
    unchanged = change.sum(axis=1) == 0
    np.testing.assert_array_equal(other[unchanged], codes[unchanged])


def test_a_layer_is_added_where_one_is_absent(rng: np.random.Generator) -> None:
    """Also where no rule says that layers are absent from the end on."""
    sizes = (("size", (1.0, 2.0, 3.0)),)
    space = SearchSpace("loose", [Variable(f"layer {i}", 0, 3, "stage", sizes) for i in range(3)])
    other = Operators(space).to_other_depth(np.tile([0, 2, 3], (50, 1)), rng)
    assert {tuple(row) for row in other.tolist()} == {(3, 2, 3), (0, 2, 0)}


def test_all_layers_of_a_group_become_alike(rng: np.random.Generator) -> None:
    space = make_family("ofa-mbv3", 224).space
    codes = space.sample(300, rng)
    alike = Operators(space).to_one_layer(codes.copy(), rng)
    layers, before = alike[:, 2:].reshape(-1, 5, 4), codes[:, 2:].reshape(-1, 5, 4)
    np.testing.assert_array_equal(layers > 0, before > 0)
    for row in range(len(codes)):
        changed = [stage for stage in range(5) if (layers[row, stage] != before[row, stage]).any()]
        assert len(changed) <= 1
        for stage in changed:
            assert len(set(layers[row, stage][layers[row, stage] > 0].tolist())) == 1
