"""The search space: validity, uniform sampling, repair, string form."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalize.errors import UserError
from naturalize.space import Architecture, SearchSpace, Variable, unique_rows


def chain_space() -> SearchSpace:
    """Small enough to enumerate: one plain variable, one chain of three of which the last two may be absent."""
    variables = [Variable("resolution", 0, 10), Variable("a", 1, 2), Variable("b", 0, 2), Variable("c", 0, 3)]
    return SearchSpace("chain", variables, rules=[(3, 2)])


def every_code(space: SearchSpace) -> np.ndarray:
    ranges = [range(low, high + 1) for low, high in zip(space.lower, space.upper, strict=True)]
    codes = np.array(list(itertools.product(*ranges)))
    return codes[[all(not (row[c] and not row[p]) for c, p in space.rules) for row in codes]]


def test_size_equals_enumeration():
    space = chain_space()
    assert space.size == len(every_code(space)) == 11 * 2 * (1 + 2 * 4)


def test_trimmed_rows_lie_between_the_largest_and_uniform_ones():
    space = chain_space()
    codes = space.sample_trimmed(5000, np.random.default_rng(0))
    assert space.is_valid(codes).all()
    assert np.bincount(codes[:, 0], minlength=11).min() > 350, "the resolution stays uniform"
    largest, uniform = (codes[:, 1:] == space.upper[1:]).mean(axis=0), space.sample(5000, np.random.default_rng(1))
    expected = 0.5 + 0.5 * (uniform[:, 1:] == space.upper[1:]).mean(axis=0)  # a share of 1/2 on average
    assert largest[:2] == pytest.approx(expected[:2], abs=0.03)
    whole = (codes[:, 1:] == space.upper[1:]).all(axis=1).mean()
    assert 0.25 < whole < 0.5, "shares differ from row to row, so that a quarter at least is whole"


def test_wholes_are_the_largest_at_each_resolution():
    space = chain_space()
    largest = [row.tolist() for row in every_code(space) if (row[1:] == space.upper[1:]).all()]
    assert space.wholes().tolist() == largest == [[number, 2, 2, 3] for number in range(11)]


def test_is_valid_and_repair_agree_with_enumeration():
    space = chain_space()
    rng = np.random.default_rng(0)
    anything = rng.integers(-1, 12, size=(2000, 4))
    valid = {tuple(row) for row in every_code(space)}
    assert [tuple(row) in valid for row in anything] == space.is_valid(anything).tolist()
    repaired = space.repair(anything)
    assert space.is_valid(repaired).all()
    kept = space.is_valid(anything)
    np.testing.assert_array_equal(repaired[kept], anything[kept])


def test_sampling_is_uniform_over_valid_architectures():
    space = chain_space()
    codes = space.sample(40_000, np.random.default_rng(1))
    assert space.is_valid(codes).all()
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert len(counts) == space.size
    expected = 40_000 / space.size
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < space.size + 5 * np.sqrt(2 * space.size)


def test_C10_long_chains_are_sampled_uniformly_and_at_once():
    chain = SearchSpace("chain", [Variable(f"v{i}", 0, 1) for i in range(24)], [(i + 1, i) for i in range(23)])
    assert chain.size == 25
    codes = chain.sample(25_000, np.random.default_rng(0))
    assert chain.is_valid(codes).all()
    counts = np.bincount(codes.sum(axis=1), minlength=25)
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert len(chain.sample_distinct(100, np.random.default_rng(0))) == 25


def test_C10_draws_by_counts_are_uniform_over_valid_architectures():
    variables = [
        Variable("a", 0, 2),
        Variable("b", 0, 3),
        Variable("c", 0, 1),
        Variable("d", 1, 2),
        Variable("e", -1, 1),
    ]
    space = SearchSpace("tree", variables, [(1, 0), (2, 0)])
    codes = space._sample_by_counts(50_000, np.random.default_rng(0))
    assert space.is_valid(codes).all()
    rows, counts = np.unique(codes, axis=0, return_counts=True)
    assert len(rows) == space.size == (1 + 2 * 4 * 2) * 2 * 3
    expected = len(codes) / space.size
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("variables", "rules", "words"),
    [
        ([], [], "has no variables"),
        ([Variable("a", 3, 2)], [], "a has no options"),
        ([Variable(name, 0, 1) for name in "abc"], [(2, 0), (2, 1)], "c depends on two variables"),
        ([Variable(name, 0, 1) for name in "abc"], [(2, 5)], "a variable that is not there"),
        ([Variable(name, 0, 1) for name in "abc"], [(0, 1), (1, 0)], "depends on itself"),
        ([Variable("a", -1, 1), Variable("b", 0, 1)], [(1, 0)], "start at 0"),
    ],
)
def test_C10_spaces_that_make_no_sense_are_refused(variables, rules, words):
    with pytest.raises(UserError, match=words):
        SearchSpace("odd", variables, rules)


def test_C10_rules_may_stand_in_any_order():
    variables = [Variable(name, 0, 1) for name in "abc"]
    for rules in ([(1, 0), (2, 1)], [(2, 1), (1, 0)]):
        space = SearchSpace("chain", variables, rules)
        assert space.repair(np.array([[0, 1, 1]])).tolist() == [[0, 0, 0]]
        every = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
        assert space.is_valid(space.repair(every)).all()
        without = SearchSpace("chain", [Variable("a", 0, 0), *variables[1:]], rules)
        assert without.is_valid(without.corners()).all()
        assert without.size == 1


def test_distinct_sampling_exhausts_a_small_space():
    space = chain_space()
    codes = space.sample_distinct(10_000, np.random.default_rng(2))
    assert len(codes) == len(unique_rows(codes)) == space.size


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_string_form_round_trips(seed):
    space = chain_space()
    codes = space.sample(8, np.random.default_rng(seed))
    texts = space.strings(codes)
    np.testing.assert_array_equal(space.codes([space.parse(text) for text in texts]), codes)


@pytest.mark.parametrize("text", ["", "0", "001000", "99111", "0021x", "00123", "00103", "٠٠١٢٣"])
def test_a_string_of_another_space_is_refused(text):
    if text == "00123":
        assert chain_space().parse(text).code == (0, 1, 2, 3)
        return
    with pytest.raises(UserError, match="chain"):
        chain_space().parse(text)


def test_architecture_is_immutable_hashable_and_can_be_copied():
    one = Architecture([1, 2], "12")
    assert one == Architecture(np.array([1, 2]), "12")
    assert len({one, Architecture([1, 2], "12")}) == 1
    assert copy.deepcopy(one) == one
    with pytest.raises(AttributeError):
        one.text = "13"


def test_scale_runs_from_zero_to_one_and_a_fixed_variable_gives_zero():
    space = SearchSpace("fixed", [Variable("x", 2, 6), Variable("y", 1, 1)])
    np.testing.assert_array_equal(space.scale(space.corners()), [[0, 0], [1, 0]])
    assert space.free == 1


def test_what_the_rules_never_allow_is_no_option() -> None:
    absent = SearchSpace("absent", [Variable("a", 0, 0), Variable("b", 0, 3), Variable("c", 0, 2)], [(1, 0), (2, 1)])
    present = SearchSpace("present", [Variable("a", 0, 2), Variable("b", 0, 2), Variable("c", 1, 2)], [(1, 0), (2, 1)])
    assert absent.upper.tolist() == [0, 0, 0]
    assert present.lower.tolist() == [1, 1, 1]
    kernels = Variable("b", 0, 3, factors=(("kernel", (3.0, 5.0, 7.0)),))
    narrowed = SearchSpace("narrowed", [Variable("a", 0, 0), kernels], [(1, 0)])
    assert narrowed.variables[1].factors == (("kernel", ()),)
    assert kernels.within(1, 2).factors == (("kernel", (3.0, 5.0)),)
    for space in (absent, present, narrowed):
        assert space.is_valid(space.corners()).all()
        assert len(space.sample_distinct(100, np.random.default_rng(0))) == space.size
