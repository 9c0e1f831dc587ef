"""The Gaussian process: scikit-learn's contract, posterior and gradient against independent ones, calibration."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from naturalize.predictor.gaussian_process import GaussianProcess, LogPosterior, Target

Floats = NDArray[np.float64]


def measured(n: int, d: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    """n points, and a smooth function of them that is always above 5."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    weights = np.random.default_rng(99).normal(size=d)
    return X, 20 + 3 * np.tanh(X @ weights / 2) + X[:, 0] ** 2


@parametrize_with_checks([GaussianProcess(), GaussianProcess(margin=None)])
def test_follows_the_contract_of_scikit_learn(estimator, check):  # type: ignore[no-untyped-def]
    check(estimator)


def test_the_gradient_is_that_of_the_value() -> None:
    X, y = measured(30)
    posterior = LogPosterior(X, (y - y.mean()) / y.std(), np.array([0, 0, 1, 2, 2, 2]))
    for hyper in (posterior.prior, np.linspace(-1, 1, 6)):
        error = check_grad(lambda h: posterior(h)[0], lambda h: posterior(h)[1], hyper)
        assert error < 1e-4 * np.linalg.norm(posterior(hyper)[1])


def test_mean_and_spread_are_those_of_scikit_learns_process() -> None:
    X, y = measured(40)
    asked, _ = measured(25, seed=1)
    groups = [0, 0, 1, 1, 1, 1]
    ours = GaussianProcess(groups=groups, margin=None).fit(X, y)
    scales = ours.lengths_[groups] * np.sqrt(np.array([2, 2, 4, 4, 4, 4]))
    noise = np.exp(2 * ours.hyper_[-1])
    kernel = (
        ConstantKernel(ours.matern_) * Matern(1.0, nu=2.5)
        + ConstantKernel(ours.linear_) * DotProduct(1e-9)
        + WhiteKernel(noise)
    )
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(X / scales, (y - y.mean()) / y.std())
    mean, std = theirs.predict(asked / scales, return_std=True)
    found, spread = ours.predict(asked, return_std=True)
    np.testing.assert_allclose(found, y.mean() + y.std() * mean, rtol=1e-6)
    np.testing.assert_allclose(spread**2, y.std() ** 2 * (std**2 - noise), rtol=1e-4, atol=1e-7)


def test_hyper_parameters_are_where_the_posterior_is_flat() -> None:
    X, y = measured(60)
    process = GaussianProcess(groups=[0, 0, 0, 1, 1, 1]).fit(X, y)
    posterior = LogPosterior(X, process.target_.forward(y), process.labels_)
    inside = np.abs(process.hyper_ - posterior.prior) < 3.9
    assert inside.any()
    assert np.abs(posterior(process.hyper_)[1][inside]).max() < 0.05


def test_a_group_without_a_say_gets_a_long_scale() -> None:
    X, y = measured(120)
    noise = np.random.default_rng(5).normal(size=X.shape)
    process = GaussianProcess(groups=[0] * 6 + [1] * 6, margin=None).fit(np.concatenate([X, noise], axis=1), y)
    assert process.lengths_[1] > 2 * process.lengths_[0]


@pytest.mark.parametrize("margin", [None, 0.4])
def test_what_was_not_measured_lies_within_its_spread_as_often_as_it_says(margin: float | None) -> None:
    inside = []
    for seed in range(8):
        X, y = measured(80, seed=seed)
        noisy = y + np.random.default_rng(seed).normal(scale=0.2, size=len(y))
        found, spread = GaussianProcess(margin=margin).fit(X[:40], noisy[:40]).predict(X[40:], return_std=True)
        inside.append(np.abs(found - y[40:]) < spread)
    assert 0.5 < np.mean(inside) < 0.85


def test_the_unit_of_the_target_does_not_change_the_predictions() -> None:
    X, y = measured(60)
    asked, _ = measured(100, seed=1)
    percent = GaussianProcess().fit(X, y).predict(asked)
    for scale, shift in ((0.01, 0.0), (-1.0, 100.0)):
        other = GaussianProcess(margin=None).fit(X, scale * y + shift).predict(asked)
        plain = GaussianProcess(margin=None).fit(X, y).predict(asked)
        np.testing.assert_allclose(other, scale * plain + shift, rtol=1e-3, atol=1e-4 * np.ptp(scale * y))
    fraction = GaussianProcess().fit(X, y / 100).predict(asked)
    np.testing.assert_allclose(100 * fraction, percent, rtol=1e-3)


def test_targets_of_either_sign_have_a_logarithm() -> None:
    for y in (np.array([-5.0, 0.0, 3.0]), np.array([0.2, 0.21, 0.9])):
        target = Target.of(y, 0.4)
        np.testing.assert_allclose(target.backward(target.forward(y)), y, atol=1e-12)
        assert np.isfinite(target.forward(y)).all()


def test_a_prediction_far_from_few_rows_is_a_number_all_the_same() -> None:
    y = np.array([12.5, 16.7, 41.7, 80.0])
    model = GaussianProcess().fit(np.arange(4.0)[:, None], y)
    with np.errstate(over="raise"):
        found, spread = model.predict(np.array([[-1e6], [1e6]]), return_std=True)
    assert np.isfinite(found).all()
    assert np.isfinite(spread).all()
    assert found[1] > 1e6 * y.max()  # it was beyond what a float holds


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_and_constant_targets_give_finite_predictions(n: int) -> None:
    X, y = measured(n)
    asked, _ = measured(20, seed=1)
    for targets in (y, np.full(n, 7.0)):
        found, spread = GaussianProcess().fit(X, targets).predict(asked, return_std=True)
        assert np.isfinite(found).all()
        assert np.isfinite(spread).all()
    np.testing.assert_allclose(found, 7)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = measured(40)
    asked, _ = measured(90, seed=1)
    process = GaussianProcess().fit(X, y)
    whole = process.predict(asked, return_std=True)
    monkeypatch.setattr("naturalize.predictor.gaussian_process.PREDICT_BYTES", 1)
    np.testing.assert_allclose(process.predict(asked, return_std=True), whole, atol=1e-12)


def test_many_rows_all_take_part_although_few_choose_the_hyper_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = measured(200)
    asked, truth = measured(200, seed=1)
    monkeypatch.setattr("naturalize.predictor.gaussian_process.FIT_ROWS", 50)
    some = GaussianProcess().fit(X[::4], y[::4]).predict(asked)
    all_rows = GaussianProcess().fit(X, y).predict(asked)
    assert np.abs(all_rows - truth).mean() < 0.7 * np.abs(some - truth).mean()


def test_groups_of_other_columns_are_refused() -> None:
    X, y = measured(10)
    with pytest.raises(ValueError, match="groups of 2 columns, and 6 columns"):
        GaussianProcess(groups=[0, 1]).fit(X, y)


@pytest.mark.parametrize("changed", ["groups", "margin", "targets that did not vary"])
def test_a_warm_start_keeps_no_hyper_parameters_of_another_task(changed: str) -> None:
    X, y = measured(60)
    before = {"groups": [0, 0, 1, 1, 1, 1], "margin": 0.4}
    after = before | {"groups": {"groups": [1, 1, 0, 0, 0, 0]}, "margin": {"margin": None}}.get(changed, {})
    model = GaussianProcess(**before, warm_start=True)  # type: ignore[arg-type]
    model.fit(X, np.full(60, 3.0) if changed.startswith("targets") else y)
    known = model.hyper_
    model.set_params(**after).fit(X, y)
    assert not np.array_equal(model.hyper_, known)
    cold = GaussianProcess(**after).fit(X, y)  # type: ignore[arg-type]
    asked, truth = measured(200, seed=1)
    worst = 1.1 * np.abs(cold.predict(asked) - truth).mean()
    assert np.abs(model.predict(asked) - truth).mean() <= worst


def test_a_warm_start_keeps_them_until_there_are_a_tenth_more_rows() -> None:
    X, y = measured(60)
    model = GaussianProcess(warm_start=True).fit(X[:50], y[:50])
    known = model.hyper_
    assert np.array_equal(model.fit(X[:54], y[:54]).hyper_, known)
    assert not np.array_equal(model.fit(X[:56], y[:56]).hyper_, known)
