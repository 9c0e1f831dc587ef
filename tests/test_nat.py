"""The steps of a transfer that are arithmetic, and new heads on old bodies. Row T05 of the cases."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalize import nat
from naturalize.drawing import distribution, drawn, drawn_codes, uniform
from naturalize.study.adaptation import uniform_distribution
from naturalize.supernet import FAMILIES, Supernet, make_family
from naturalize.tasks import Classification
from naturalize.testing import spread
from naturalize.weights import transplant

SPACES = [make_family("mini", 32).space, make_family("ofa-mbv3", 224).space]
EVERY_SPACE = [make_family(name, 224 if name != "mini" else 32).space for name in FAMILIES]


@given(st.sampled_from(SPACES), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_distribution_is_the_share_of_members_with_each_option_where_its_parent_is(space, n, seed):
    codes = space.sample(n, np.random.default_rng(seed))
    p = distribution(space, codes)
    assert p.sum(axis=1) == pytest.approx(1.0)
    parent = dict(space.rules)
    for variable in range(len(space)):
        members = [row for row in codes.tolist() if variable not in parent or row[parent[variable]]]
        counts = Counter(row[variable] for row in members) if members else {0: 1}
        for option in range(p.shape[1]):
            assert p[variable, option] == pytest.approx(counts.get(option, 0) / max(1, len(members)))


@pytest.mark.parametrize("space", EVERY_SPACE, ids=lambda space: space.name)
@pytest.mark.parametrize("n", [6, 60])
def test_C3_every_option_and_depth_is_drawn_as_often_as_the_archive_has_it(space, n):
    codes = space.sample(n, np.random.default_rng(n))
    draws = 20_000
    found = drawn_codes(space, distribution(space, codes), np.random.default_rng(1).random((draws, len(space))))
    assert space.is_valid(found).all()
    options = np.arange(int(space.upper.max()) + 1)
    asked, got = ((rows[:, :, None] == options).mean(axis=0) for rows in (codes, found))
    error = np.sqrt(asked * (1 - asked) / draws)
    assert (np.abs(got - asked) <= 5 * error + 1e-12).all()
    for stage in {variable.group for variable in space.variables if variable.group}:
        columns = [column for column, variable in enumerate(space.variables) if variable.group == stage]
        depths = [np.bincount((rows[:, columns] > 0).sum(axis=1), minlength=9) / len(rows) for rows in (codes, found)]
        assert np.abs(depths[0] - depths[1]).max() <= 5 * np.sqrt(0.25 / draws)


@pytest.mark.parametrize("space", EVERY_SPACE, ids=lambda space: space.name)
def test_C3b_the_uniform_rival_draws_depths_as_the_preparation_does(space):
    found = drawn_codes(space, uniform_distribution(space), np.random.default_rng(1).random((20_000, len(space))))
    prepared = space.sample(20_000, np.random.default_rng(2))
    assert (found > 0).sum(axis=1).mean() == pytest.approx((prepared > 0).sum(axis=1).mean(), rel=0.01)
    options = np.arange(int(space.upper.max()) + 1)
    shares = [(rows[:, :, None] == options).mean(axis=0) for rows in (found, prepared)]
    assert np.abs(shares[0] - shares[1]).max() < 0.02


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_a_step_draws_one_valid_architecture(space):
    p = distribution(space, space.sample(30, np.random.default_rng(3)))
    assert space.is_valid(space.codes([drawn(space, p, 0, step) for step in range(50)])).all()


@given(st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_options_that_no_member_has_are_never_drawn(seed):
    space = SPACES[0]
    codes = space.sample(3, np.random.default_rng(seed))
    p = distribution(space, codes)
    for step in range(50):
        code = drawn(space, p, seed, step).code
        for variable, option in enumerate(code):
            assert p[variable, option] > 0 or option == 0, "only repair may take away what comes after an absent block"


def test_each_body_gets_the_share_of_batches_that_p_gives_its_width():
    space = SPACES[1]
    codes = space.sample(40, np.random.default_rng(0))
    codes[:, 1] = np.arange(40) < 10
    p = distribution(space, codes)
    widths = [drawn(space, p, 5, step).code[1] for step in range(2000)]
    assert np.mean(widths) == pytest.approx(0.25, abs=0.03)
    assert np.mean([uniform(space, 5, step).code[1] for step in range(1000)]) == pytest.approx(0.5, abs=0.06)


def test_draws_depend_on_seed_and_step_alone():
    space = SPACES[0]
    p = distribution(space, space.sample(30, np.random.default_rng(3)))
    assert drawn(space, p, 0, 7) == drawn(space, p, 0, 7)
    assert len({drawn(space, p, 0, step) for step in range(20)}) > 15
    assert drawn(space, p, 0, 7) != drawn(space, p, 1, 7)


def make(classes, seed, name="mini"):
    torch.manual_seed(seed)
    family = make_family(name, 8)
    return Supernet(family, {"default": Classification(classes).heads(family)}, [100.0] * 3, [50.0] * 3)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_T05_the_classifier_is_always_new_and_all_else_comes_with_the_weights(classes):
    prepared, target, untouched = make(1000, 1), make(classes, 2), make(classes, 2)
    transplant(target, prepared)
    old, new, fresh = prepared.state_dict(), target.state_dict(), untouched.state_dict()
    for name, tensor in new.items():
        if ".classifier." in name:
            assert torch.equal(tensor, fresh[name]), name
            assert tensor.shape[0] == classes
        else:
            assert torch.equal(tensor, old[name]), name
    assert any(".classifier." in name for name in new)


def test_the_algorithm_fits_on_one_screen():
    import inspect

    assert len(inspect.getsource(nat.transfer).splitlines()) <= 30


def test_networks_are_tested_in_an_order_whose_beginnings_are_spread_over_the_front():
    for n in range(1, 40):
        assert sorted(spread(n)) == list(range(n))
    assert spread(9) == [8, 0, 4, 2, 6, 1, 3, 5, 7]
