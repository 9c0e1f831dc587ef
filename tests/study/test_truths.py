"""Truths: DTLZ2 has its known front, the fitted one its known figures, a table gives back its rows."""

import numpy as np
import pytest

from naturalize.search import hypervolume, search
from naturalize.study.truths import dtlz2, fitted, fitted_error, igd_plus, read_table, tabular
from naturalize.supernet import make_family


@pytest.mark.parametrize("m", [2, 3, 12])
def test_the_front_of_dtlz2_is_the_unit_sphere(m: int, rng: np.random.Generator) -> None:
    truth = dtlz2(m)
    codes = truth.space.sample(200, rng)
    values = np.column_stack(list(truth.evaluate(codes).values()))
    assert ((values**2).sum(axis=1) >= 1 - 1e-9).all()
    codes[:, m - 1 :] = 5
    values = np.column_stack(list(truth.evaluate(codes).values()))
    np.testing.assert_allclose((values**2).sum(axis=1), 1)


def test_dtlz2_in_three_objectives_as_it_is_written() -> None:
    truth = dtlz2(3, n_variables=4, exact=[2])
    codes = np.array([[4, 7, 1, 9]])
    a, b = 0.4 * np.pi / 2, 0.7 * np.pi / 2
    r = 1 + 0.16 + 0.16
    found = truth.evaluate(codes)
    assert list(found) == ["f1", "f2"]
    np.testing.assert_allclose(found["f1"], r * np.cos(a) * np.cos(b))
    np.testing.assert_allclose(found["f2"], r * np.cos(a) * np.sin(b))
    np.testing.assert_allclose(truth.exact["f3"](codes), r * np.sin(a))


def test_igd_plus_counts_what_is_worse_alone() -> None:
    front = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert igd_plus(front, front) == 0
    assert igd_plus([[-1.0, -1.0]], front) == 0
    assert igd_plus([[0.5, 1.0]], front) == pytest.approx((0.5 + 1.0) / 2)


def test_the_fitted_truth_is_near_the_accuracies_it_was_fitted_to(published_data) -> None:
    space = make_family("ofa-mbv3-w1.0", 224).space
    codes, columns = read_table(published_data / "ofa-mbv3-w1.0-imagenet.csv", space)
    away = fitted_error(published_data / "ofa-mbv3-w1.0-truth.npz")(codes) - (100 - columns["top1"])
    assert np.abs(away).mean() < 0.06


def test_random_search_reaches_the_known_share_of_the_best(published_data) -> None:
    truth, family = fitted(published_data / "ofa-mbv3-w1.0-truth.npz"), make_family("ofa-mbv3-w1.0", 224)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(5):
        codes = family.sample_opened(250, rng, family.options)  # depths uniform
        codes[:, :2] = truth.space.lower[:2]
        values = np.column_stack([truth.evaluate(codes)["error"], truth.exact["madds"](codes)])
        shares.append(hypervolume(values, truth.reference) / truth.best)
    assert 0.77 < np.mean(shares) < 0.80


def test_a_table_is_searched_by_its_rows(published_data) -> None:
    space = make_family("ofa-mbv3-w1.0", 224).space
    codes, columns = read_table(published_data / "ofa-mbv3-w1.0-imagenet.csv", space)
    whole = np.isfinite(columns["madds"])
    codes, error, madds = codes[whole], 100 - columns["top1"][whole], columns["madds"][whole]
    evaluate = tabular(codes, {"error": error, "madds": madds})
    archive = search(space, evaluate, ["error", "madds"], candidates=codes, evaluations=80, seed=0)
    assert archive.failed == 0
    reference = [30.0, madds.max()]
    best = hypervolume(np.column_stack([error, madds]), reference)
    assert archive.hypervolumes(reference)[-1] > 0.95 * best
    assert np.isnan(evaluate(space.corners())["error"]).any()
