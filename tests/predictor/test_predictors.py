"""Predictors by name: made for any space, on real accuracies, and the choice between them."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from naturalize.errors import UserError
from naturalize.objectives.exact import stage_counts
from naturalize.predictor import PREDICTORS, make
from naturalize.predictor.best import BestPredictor
from naturalize.predictor.making import MAKERS
from naturalize.predictor.perceptron import MultiLayerPerceptron
from naturalize.space import SearchSpace, Variable
from naturalize.supernet import make_family
from naturalize.tasks import Classification


@parametrize_with_checks(
    [BestPredictor([("mean", DummyRegressor()), ("linear", LinearRegression())]), MultiLayerPerceptron()]
)
def test_follows_the_contract_of_scikit_learn(estimator, check):  # type: ignore[no-untyped-def]
    check(estimator)


def test_every_name_has_its_maker() -> None:
    assert list(MAKERS) == list(PREDICTORS)


@pytest.mark.parametrize("name", PREDICTORS)
def test_every_predictor_learns_a_space_of_ones_own(name: str, rng: np.random.Generator) -> None:
    space = SearchSpace("own", [Variable("depth", 2, 9), Variable("width", 0, 9), Variable("kernel", 1, 5)])
    codes = space.sample_distinct(150, rng)
    error = 30 - codes[:, 0] - np.sqrt(codes[:, 1]) + 0.1 * codes[:, 2] ** 2
    predicted = make(name, space, 0).fit(codes[:100], error[:100]).predict(codes[100:])
    assert kendalltau(predicted, error[100:]).statistic > 0.8
    again = make(name, space, 0).fit(codes[:100], error[:100]).predict(codes[100:])
    np.testing.assert_array_equal(predicted, again)


@pytest.mark.parametrize(("name", "floor"), [("gaussian-process", 0.935), ("rbf-ensemble", 0.85)])
def test_real_accuracies_are_ranked_after_100(published_data: Path, name: str, floor: float) -> None:
    family = make_family("ofa-mbv3-w1.0", 224)
    with (published_data / "ofa-mbv3-w1.0-imagenet.csv").open() as file:
        rows = list(csv.DictReader(file))
    codes = family.space.codes([family.space.parse(row["architecture"]) for row in rows])
    error = 100 - np.array([float(row["top1"]) for row in rows])
    counts = [stage_counts(family, Classification(1000), 3)]
    taus = []
    for seed in (100, 101, 102):
        order = np.random.default_rng(seed).permutation(len(codes))
        train, test = order[:100], order[400:]
        predictor = make(name, family.space, seed, counts).fit(codes[train], error[train])
        taus.append(kendalltau(predictor.predict(codes[test]), error[test]).statistic)
    assert np.mean(taus) > floor


def test_the_best_on_rows_kept_apart_is_chosen(rng: np.random.Generator) -> None:
    X = rng.normal(size=(40, 3))
    y = X @ [1.0, 2.0, 3.0]
    both = [("mean", DummyRegressor()), ("linear", LinearRegression())]
    chosen = BestPredictor(both).fit(X, y)
    assert chosen.best_ == "linear"
    assert chosen.rank_correlations_["linear"] > 0.99
    np.testing.assert_allclose(chosen.predict(X), y)


def test_the_first_is_chosen_where_no_order_is_defined() -> None:
    chosen = BestPredictor([("mean", DummyRegressor()), ("linear", LinearRegression())]).fit(
        np.ones((4, 2)), np.ones(4)
    )
    assert chosen.best_ == "mean"


def test_an_unknown_predictor_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean rbf-ensemble"):
        make("rbf-ensembel", SearchSpace("own", [Variable("depth", 2, 9)]), 0)


def test_a_perceptron_that_is_not_done_ends_without_a_warning(rng: np.random.Generator) -> None:
    space = SearchSpace("own", [Variable(f"v{i}", 0, 9) for i in range(20)])
    codes = space.sample_distinct(200, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor = make("mlp", space, 0).fit(codes, rng.normal(size=200))
    assert predictor[-1].regressor_.n_iter_ == 500
