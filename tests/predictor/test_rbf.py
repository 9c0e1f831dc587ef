"""The RBF ensemble: scikit-learn's contract, and every member against an independent interpolator."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from sklearn.utils.estimator_checks import parametrize_with_checks

from naturalize.predictor.held_out import held_out_rank_correlation
from naturalize.predictor.rbf import RBF, RBFEnsemble, draw_subsets

Floats = NDArray[np.float64]


def measured(n: int, d: int = 8, seed: int = 0) -> tuple[Floats, Floats]:
    """n points of a grid as search spaces have it, and a smooth function of them."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 10, size=(n, d)) / 9
    return X, np.sin(X @ rng.normal(size=d)) + X[:, 0] ** 2


def member_by_scipy(X: Floats, y: Floats, asked: Floats, mask: NDArray[np.bool_]) -> Floats:
    """The member's brute-force twin: equal rows averaged, then SciPy's cubic interpolant with a linear tail."""
    rows, group = np.unique(X[:, mask], axis=0, return_inverse=True)
    means = np.bincount(group.ravel(), y) / np.bincount(group.ravel())
    return RBFInterpolator(rows, means, kernel="cubic", degree=1)(asked[:, mask])


@parametrize_with_checks([RBFEnsemble(n_members=20, random_state=0), RBF()])
def test_follows_the_contract_of_scikit_learn(estimator, check):  # type: ignore[no-untyped-def]
    check(estimator)


@pytest.mark.parametrize(("n", "d"), [(5, 8), (40, 8), (100, 13)])
def test_every_member_is_the_cubic_interpolant_on_its_subset(n: int, d: int) -> None:
    X, y = measured(n, d)
    asked, _ = measured(30, d, seed=1)
    predictor = RBFEnsemble(n_members=40, random_state=0).fit(X, y)
    members = predictor.predict_members(asked)
    for mask, member in zip(predictor.masks_, members.T, strict=True):
        np.testing.assert_allclose(member, member_by_scipy(X, y, asked, mask), atol=1e-8)
    np.testing.assert_array_equal(predictor.predict(asked), np.median(members, axis=1))


def test_500_members_on_100_pairs_are_those_of_models_one_by_one() -> None:
    X, y = measured(100, 21)
    asked, _ = measured(200, 21, seed=1)
    predictor = RBFEnsemble(random_state=0).fit(X, y)
    one_by_one = [member_by_scipy(X, y, asked, mask) for mask in predictor.masks_]
    assert len(one_by_one) == 500
    np.testing.assert_allclose(predictor.predict(asked), np.median(one_by_one, axis=0), atol=1e-6)


def test_rows_measured_twice_count_with_their_mean() -> None:
    X, y = measured(30)
    twice, once = np.concatenate([X, X]), RBFEnsemble(50, random_state=0).fit(X, y)
    noise = np.linspace(-1, 1, len(y))
    both = RBFEnsemble(50, random_state=0).fit(twice, np.concatenate([y - noise, y + noise]))
    np.testing.assert_allclose(both.predict(X), once.predict(X), atol=1e-8)


def test_sizes_of_subsets_are_uniform_and_variables_equally_frequent() -> None:
    X, _ = measured(100)
    masks = draw_subsets(X, 8000, np.random.RandomState(0))
    np.testing.assert_allclose(np.bincount(masks.sum(axis=1), minlength=9)[1:], 1000, atol=150)
    np.testing.assert_allclose(masks.mean(axis=0), 9 / 16, atol=0.03)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = measured(40)
    asked, _ = measured(200, seed=1)
    whole = RBFEnsemble(30, random_state=0).fit(X, y).predict(asked)
    monkeypatch.setattr("naturalize.predictor.rbf.FIT_BYTES", 1)
    monkeypatch.setattr("naturalize.predictor.rbf.PREDICT_BYTES", 1)
    np.testing.assert_allclose(RBFEnsemble(30, random_state=0).fit(X, y).predict(asked), whole, atol=1e-12)


def test_the_same_seed_gives_the_same_predictions() -> None:
    X, y = measured(40)
    first, second = (RBFEnsemble(30, random_state=3).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_rows_give_finite_predictions(n: int) -> None:
    X, y = measured(n)
    asked, _ = measured(50, seed=1)
    assert np.isfinite(RBFEnsemble(20, random_state=0).fit(X, y).predict(asked)).all()


def test_constant_targets_give_a_constant() -> None:
    X, _ = measured(40)
    asked, _ = measured(50, seed=1)
    np.testing.assert_allclose(RBFEnsemble(20, random_state=0).fit(X, np.full(40, 7.0)).predict(asked), 7)


def test_columns_that_never_vary_are_in_no_subset() -> None:
    X, y = measured(40)
    X[:, 2] = 0.5
    predictor = RBFEnsemble(50, random_state=0).fit(X, y)
    assert not predictor.masks_[:, 2].any()
    assert predictor.masks_.any(axis=1).all()


def test_columns_that_tell_the_same_are_never_in_one_subset() -> None:
    X, y = measured(40, d=3)
    predictor = RBFEnsemble(100, random_state=0).fit(np.concatenate([X, 2 * X, 1 - X], axis=1), y)
    assert predictor.masks_.reshape(-1, 3, 3).sum(axis=1).max() == 1


def test_a_subset_that_stays_undetermined_is_replaced_by_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naturalize.predictor.rbf.REDRAWS", 0)
    X, y = measured(40, d=3)
    masks = RBFEnsemble(100, random_state=0).fit(np.concatenate([X, X], axis=1), y).masks_
    assert masks.reshape(-1, 2, 3).sum(axis=1).max() == 1


def test_without_any_column_that_varies_the_mean_is_predicted() -> None:
    predicted = RBFEnsemble(10, random_state=0).fit(np.ones((4, 3)), [1.0, 2.0, 3.0, 6.0]).predict(np.zeros((2, 3)))
    np.testing.assert_allclose(predicted, 3)


def test_the_unit_of_the_target_does_not_change_the_order() -> None:
    X, y = measured(60)
    asked, _ = measured(100, seed=1)
    fraction, percent = (RBFEnsemble(50, random_state=0).fit(X, scale * y).predict(asked) for scale in (1, 100))
    np.testing.assert_allclose(percent, 100 * fraction, rtol=1e-9)


def test_held_out_rank_correlation_tells_structure_from_noise() -> None:
    X, y = measured(100)
    predictor = RBFEnsemble(n_members=50, random_state=0)
    noise = np.random.default_rng(0).normal(size=100)
    assert held_out_rank_correlation(predictor, X, y, seed=0) > 0.7
    assert abs(held_out_rank_correlation(predictor, X, noise, seed=0)) < 0.25
    assert not hasattr(predictor, "masks_")


def test_held_out_rank_correlation_is_undefined_without_an_order() -> None:
    X, y = measured(10)
    predictor = RBFEnsemble(10, random_state=0)
    assert np.isnan(held_out_rank_correlation(predictor, X[:2], y[:2], seed=0))
    assert np.isnan(held_out_rank_correlation(predictor, X, np.ones(10), seed=0))
    assert np.isfinite(held_out_rank_correlation(predictor, X[:3], y[:3], seed=0))


@pytest.mark.parametrize(("n", "d"), [(40, 8), (100, 13)])
def test_one_model_is_the_cubic_interpolant_on_all_variables(n: int, d: int) -> None:
    X, y = measured(n, d)
    asked, _ = measured(30, d, seed=1)
    np.testing.assert_allclose(
        RBF().fit(X, y).predict(asked), member_by_scipy(X, y, asked, np.ones(d, dtype=bool)), atol=1e-8
    )


def test_one_model_uses_one_of_the_columns_that_tell_the_same() -> None:
    X, y = measured(40, d=3)
    asked, _ = measured(30, d=3, seed=1)
    repeated = RBF().fit(np.concatenate([X, X, np.ones((40, 1))], axis=1), y)
    assert repeated.masks_[0, :6].reshape(2, 3).sum(axis=0).tolist() == [1, 1, 1]
    assert not repeated.masks_[0, 6]
    again = repeated.predict(np.concatenate([asked, asked, np.ones((30, 1))], axis=1))
    np.testing.assert_allclose(again, RBF().fit(X, y).predict(asked), atol=1e-8)


def test_members_differ_more_where_less_was_measured() -> None:
    X, y = measured(60)
    ensemble = RBFEnsemble(100, random_state=0).fit(X, y)
    near, far = (ensemble.predict(X + shift, return_std=True)[1] for shift in (0.01, 2.0))
    assert near.mean() < far.mean() / 5
