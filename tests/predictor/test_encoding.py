"""Encodings against their brute-force twin, on the spaces of all families and on a user's own."""

import numpy as np
import pytest

from naturalize.errors import UserError
from naturalize.objectives.exact import Exact, stage_counts
from naturalize.predictor.encoding import Encoding
from naturalize.predictor.making import FULL
from naturalize.space import SearchSpace, Variable
from naturalize.supernet import FAMILIES, make_family
from naturalize.tasks import Classification


def own() -> SearchSpace:
    """Three integers, as anyone may have."""
    return SearchSpace("own", [Variable("depth", 2, 5), Variable("width", 0, 9), Variable("fixed", 3, 3)])


def small() -> SearchSpace:
    """One stage of a required and an optional layer, and a resolution."""
    factors = (("kernel", (3.0, 5.0, 3.0, 5.0)), ("expansion", (2.0, 2.0, 4.0, 4.0)))
    layers = [Variable("first", 1, 4, "stage", factors), Variable("second", 0, 4, "stage", factors)]
    return SearchSpace("small", [Variable("resolution", 0, 2), *layers])


def test_what_an_architecture_is_encoded_as() -> None:
    encoding = Encoding(small(), ("base", "sums"))
    rows = encoding.fit_transform([[2, 2, 0], [1, 3, 4]])
    named = list(zip(encoding.kinds_, rows.T.tolist(), strict=True))
    assert named == [
        ("resolution", [1.0, 0.0]),
        ("kernel", [1.0, -1.0]),
        ("expansion", [-1.0, 1.0]),
        ("kernel", [0.0, 1.0]),
        ("expansion", [0.0, 1.0]),
        ("presence", [0.0, 1.0]),
        ("depth", [1.0, 2.0]),
        ("sum of kernel", [5.0, 8.0]),
        ("sum of expansion", [2.0, 8.0]),
    ]


def test_options_are_told_apart_one_by_one() -> None:
    encoding = Encoding(small(), ("one-hot",))
    rows = encoding.fit_transform([[2, 2, 0]])
    of = np.array(encoding.kinds_)
    assert rows[0, of == "option"].tolist() == [0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0]
    assert rows[0, of == "option of kernel"].tolist() == [0, 1, 0, 0]
    assert rows[0, of == "option of expansion"].tolist() == [1, 0, 0, 0]


def test_raw_codes_are_scaled_by_their_ranges(rng: np.random.Generator) -> None:
    space = make_family("ofa-mbv3", 224).space
    codes = space.sample(50, rng)
    np.testing.assert_allclose(Encoding(space, ("raw",)).fit_transform(codes), space.scale(codes), atol=1e-12)


def test_a_space_of_ones_own_is_encoded_by_its_codes() -> None:
    encoding = Encoding(own(), ("base", "sums"))
    rows = encoding.fit_transform([[2, 0, 3], [5, 9, 3]])
    assert encoding.kinds_ == ["depth", "width"]
    assert rows.tolist() == [[-1.5, -4.5], [1.5, 4.5]]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_different_architectures_are_encoded_differently(name: str, rng: np.random.Generator) -> None:
    space = make_family(name, 224 if name != "mini" else 32).space
    codes = space.sample_distinct(300, rng)
    for parts in (("raw",), ("base",), ("one-hot",), FULL):
        rows = Encoding(space, parts).fit_transform(codes)
        assert len(np.unique(rows.round(9), axis=0)) == len(codes), parts


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_depths_and_sums_are_those_of_the_layers(name: str, rng: np.random.Generator) -> None:
    space = make_family(name, 224 if name != "mini" else 32).space
    codes = space.sample(20, rng)
    encoding = Encoding(space, ("base", "sums"))
    rows = encoding.fit_transform(codes)
    kinds = np.array(encoding.kinds_)
    groups = list(dict.fromkeys(variable.group for variable in space.variables if variable.group))
    for row, code in zip(rows, codes.tolist(), strict=True):
        layers = {
            group: [
                {kind: values[value - 1] for kind, values in variable.factors}
                for variable, value in zip(space.variables, code, strict=True)
                if variable.group == group and value > 0
            ]
            for group in groups
        }
        deep = [group for group in groups if any(v.group == group and v.lower == 0 for v in space.variables)]
        assert row[kinds == "depth"].tolist() == [len(layers[group]) for group in deep]
        for kind in {kind for variable in space.variables for kind, _ in variable.factors}:
            sums = [sum(layer[kind] for layer in layers[group]) for group in groups]
            np.testing.assert_allclose(row[kinds == f"sum of {kind}"], sums)


def test_a_row_is_encoded_the_same_in_any_company(rng: np.random.Generator) -> None:
    family, task = make_family("mini", 32), Classification(10)
    encoding = Encoding(family.space, FULL, [stage_counts(family, task, 3)])
    codes = family.space.sample(40, rng)
    whole = encoding.fit(codes).transform(codes)
    np.testing.assert_allclose(encoding.transform(codes[7:8]), whole[7:8], rtol=1e-12)
    assert encoding.kinds_.count("count") == whole.shape[1] - encoding.matrix_.shape[1] > 2


@pytest.mark.parametrize("name", ["mini", "ofa-mbv3", "ofa-resnet50"])
def test_counts_by_stage_add_up_but_for_what_never_changes(name: str, rng: np.random.Generator) -> None:
    family, task = make_family(name, 224 if name != "mini" else 32), Classification(10)
    codes = family.space.sample(30, rng)
    by_stage = stage_counts(family, task, 3)(codes)
    whole = sum(Exact(count, family, task, 3)(codes) for count in ("madds", "params"))
    assert np.ptp(whole - by_stage.sum(axis=1)) == 0
    assert (np.ptp(by_stage, axis=0) > 0).all()


def test_codes_of_another_space_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codes of own have the shape \(n, 3\), not \(2, 4\)"):
        Encoding(own()).fit(np.ones((2, 4)))


def test_factors_have_a_value_for_each_code() -> None:
    with pytest.raises(UserError, match="layer: kernel has 2 values for the codes 1 to 3"):
        Variable("layer", 0, 3, "stage", (("kernel", (3, 5)),))
