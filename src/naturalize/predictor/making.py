"""How each predictor is made: an encoding and a regressor in a pipeline."""

from collections.abc import Callable, Sequence

from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from naturalize.predictor import Counts
from naturalize.predictor.best import BestPredictor
from naturalize.predictor.encoding import Encoding
from naturalize.predictor.gaussian_process import GaussianProcess
from naturalize.predictor.perceptron import MultiLayerPerceptron
from naturalize.predictor.rbf import RBF, RBFEnsemble
from naturalize.space import SearchSpace

FULL = ("base", "sums", "one-hot", "counts")


def process_on_all(space: SearchSpace, counts: Sequence[Counts], seed: int) -> Pipeline:
    """A Gaussian process on all known numbers, a length-scale for each kind of them; arguments as of `make`."""
    columns = encoding(space, FULL, counts)
    return make_pipeline(columns, StandardScaler(), GaussianProcess(groups=columns.kinds_, warm_start=True))


def on_raw_codes(regressor: RegressorMixin, space: SearchSpace) -> Pipeline:
    """A regressor on codes scaled to [0, 1], as in the paper."""
    return make_pipeline(encoding(space, ("raw",)), regressor)


def encoding(space: SearchSpace, parts: Sequence[str], counts: Sequence[Counts] = ()) -> FrozenEstimator:
    """An encoding that is set up once, not again with each fit: it learns nothing from codes. Arguments as of it."""
    return FrozenEstimator(Encoding(space, parts, counts).fit(space.corners()))


def multi_layer_perceptron(space: SearchSpace, counts: Sequence[Counts], seed: int) -> Pipeline:
    """A perceptron with two hidden layers on raw codes, targets standardised; arguments as of `make`."""
    layers = MultiLayerPerceptron(
        hidden_layer_sizes=(100, 100), solver="lbfgs", alpha=1.0, max_iter=500, random_state=seed
    )
    return on_raw_codes(TransformedTargetRegressor(layers, transformer=StandardScaler()), space)


def better(space: SearchSpace, counts: Sequence[Counts], seed: int) -> BestPredictor:
    """The better of the Gaussian process and the paper's ensemble, chosen by each fit; arguments as of `make`."""
    names = "gaussian-process", "rbf-ensemble"
    return BestPredictor([(name, MAKERS[name](space, counts, seed)) for name in names], random_state=seed)


Maker = Callable[[SearchSpace, Sequence[Counts], int], RegressorMixin]
MAKERS: dict[str, Maker] = {
    "auto": better,
    "cart": lambda space, counts, seed: on_raw_codes(DecisionTreeRegressor(random_state=seed), space),
    "gaussian-process": process_on_all,
    "mlp": multi_layer_perceptron,
    "rbf": lambda space, counts, seed: on_raw_codes(RBF(), space),
    "rbf-ensemble": lambda space, counts, seed: on_raw_codes(RBFEnsemble(random_state=seed), space),
}
