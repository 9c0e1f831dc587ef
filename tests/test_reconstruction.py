"""Closed forms: what smaller options keep of the largest network, beside numpy's least squares and brute force."""

import numpy as np
import pytest
import torch
from torch import nn

from naturalize import reconstruction
from naturalize.reconstruction import (
    by_contribution,
    fit_entry,
    fit_kernel,
    fit_offset,
    least_squares,
    moments,
    reconstruct,
    set_option,
    together,
)
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.weights import published_supernet


@pytest.fixture
def no_ridge(monkeypatch):
    monkeypatch.setattr(reconstruction, "RIDGE", 0.0)


def test_weights_are_those_of_least_squares(no_ridge):
    draw = np.random.default_rng(0)
    inputs, wanted = draw.normal(1.0, 1.0, (2, 60, 5)), draw.normal(size=(2, 60, 3))
    x, y = torch.from_numpy(inputs), torch.from_numpy(wanted)
    found = least_squares(together(x, x), together(y, x), torch.zeros(2, 3, 5, dtype=torch.double)).numpy()
    for one, x, y in zip(found, inputs, wanted, strict=True):
        truth = np.linalg.lstsq(np.c_[x, np.ones(60)], y, rcond=None)[0][:-1].T
        np.testing.assert_allclose(one, truth, atol=1e-8)


def test_where_pictures_tell_nothing_weights_stay():
    near = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0))
    constant = torch.ones(1, 20, 5)
    found = least_squares(together(constant, constant), together(torch.ones(1, 20, 3), constant), near)
    torch.testing.assert_close(found, near)


def test_each_channel_taken_away_costs_least_once_the_others_are_refitted(no_ridge, monkeypatch):
    monkeypatch.setattr(reconstruction, "ROUNDS", 9)  # one channel a round
    draw = np.random.default_rng(0)
    mixed = draw.normal(size=(500, 4)) @ draw.normal(size=(4, 9)) + 0.3 * draw.normal(size=(500, 9))
    inputs, weight = mixed - mixed.mean(0), draw.normal(size=(5, 9))
    order = by_contribution(torch.from_numpy(weight), torch.from_numpy(inputs.T @ inputs / len(inputs))).tolist()
    assert sorted(order) == list(range(9))

    def missing(kept):
        fitted = np.linalg.lstsq(inputs[:, kept], inputs @ weight.T, rcond=None)[0]
        return np.square(inputs[:, kept] @ fitted - inputs @ weight.T).sum()

    left = list(range(9))
    for channel in order[:0:-1]:
        cost = {other: missing([each for each in left if each != other]) for other in left}
        assert min(left, key=cost.__getitem__) == channel
        left.remove(channel)


def test_channels_that_are_always_kept_come_first():
    covariance = torch.eye(8) * torch.arange(1.0, 9.0)
    assert by_contribution(torch.ones(2, 8), covariance, least=3).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_channels_that_the_others_tell_are_not_missed(no_ridge):
    """Channels 4 to 7 are sums of the first ones, so a projection of these alone can give all."""
    torch.manual_seed(0)
    operator = ElasticConvNorm(8, 3, options=2, offsets=[(4, 1)]).double()
    first = torch.randn(100, 4, dtype=torch.double)
    inputs = torch.cat([first, first @ torch.randn(4, 4, dtype=torch.double)], 1)
    wanted = inputs @ operator.weight.detach().flatten(1).T
    with torch.no_grad():
        own = fit_offset(operator, 0, together(first, first), together(wanted, first))
    torch.testing.assert_close(first @ own.T, wanted)
    torch.testing.assert_close(operator.slice(4, 3, 1, 0).weight.flatten(1), own)
    torch.testing.assert_close(operator.slice(8, 3, 1, 1).weight, operator.weight)


def test_a_smaller_kernel_is_that_of_the_largest_where_that_has_no_more(no_ridge):
    torch.manual_seed(0)
    operator = ElasticConvNorm(4, 4, (3, 5), depthwise=True, options=2, offsets=[(1, 3)]).double()
    x = torch.randn(8, 4, 12, 12, dtype=torch.double)
    with torch.no_grad():
        nn.init.normal_(operator.maps["5to3"])  # what a smaller kernel would be without an offset
        operator.weight[:, :, [0, 4]] = 0.0
        operator.weight[:, :, :, [0, 4]] = 0.0
        fit_kernel(operator, 0, 3, x, operator.convolved(x, operator.slice(4, 4, 5, 1).weight))
        torch.testing.assert_close(operator.slice(4, 4, 3, 0).weight, operator.weight[:, :, 1:4, 1:4])


def test_what_follows_fewer_blocks_sees_what_follows_all(no_ridge):
    """The second block of a stage doubles its map, so where it is missing the next convolution has to."""
    torch.manual_seed(0)
    operator = ElasticConvNorm(4, 6, options=2, offsets=[(4, 1)]).eval().double()
    shallow = torch.randn(8, 4, 5, 5, dtype=torch.double)
    with torch.no_grad():
        fit_entry(operator, [shallow, 2 * shallow + 1])
        one, all_of_them = operator(shallow, 6, 1, 0), operator(2 * shallow + 1, 6, 1, 1)
    torch.testing.assert_close(one, all_of_them, atol=1e-4, rtol=1e-4)


def test_statistics_of_an_option_are_those_by_which_it_is_normalised_as_the_largest_is():
    torch.manual_seed(0)
    operator = ElasticConvNorm(4, 4, options=2).eval()
    nn.init.normal_(operator.running_mean)
    nn.init.uniform_(operator.running_var, 0.5, 2.0)
    whole = torch.randn(64, 4, 9, 9) * torch.tensor([1.0, 2.0, 0.5, 1.5]).view(1, 4, 1, 1) + 0.3
    other = 0.4 * whole - 1.0  # what an option computes: the same but for scale and shift
    set_option(operator, 0, moments(other), moments(whole))
    one, two = (operator.activated(maps, operator.slice(4, 4, 1, option)) for maps, option in ((other, 0), (whole, 1)))
    torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def lite(clothes):
    """Lite0 fitted to some photographs; others; the largest network's features of these before that, and after."""
    pictures = np.moveaxis(clothes(96)[0], -1, 1)
    seen, unseen = (torch.from_numpy(np.ascontiguousarray(part)) for part in (pictures[::2], pictures[1::2]))
    supernet = published_supernet("efficientnet-lite0").eval()
    largest = supernet.family.space.largest
    network = supernet.extract(largest)
    before = features(network, unseen)
    reconstruct(supernet.body(largest), network, seen)
    return supernet, unseen, before


@torch.no_grad()
def features(network, pixels):
    return network.features(network.normalize(pixels))[-1].mean((2, 3))


def test_the_largest_network_computes_what_it_did(lite):
    supernet, unseen, before = lite
    after = features(supernet.extract(supernet.family.space.largest), unseen)
    torch.testing.assert_close(after, before, atol=2e-3, rtol=1e-3)


def with_options(supernet, what):
    """The largest architecture with one kind of option at its smallest."""
    family = supernet.family
    code = family.space.upper.copy()
    for column, variable in enumerate(family.space.variables):
        if what == "depth" and variable.group and variable.lower == 0:
            code[column] = 0
        if what == "kernel" and variable.group:
            code[column] -= 1
        if what == "expansion" and variable.group:
            code[column] = len(family.kernels)
    (arch,) = family.space.architectures(family.space.repair(code[None]))
    return arch


@pytest.mark.parametrize("what", ["depth", "kernel", "expansion"])
def test_offsets_and_statistics_keep_more_of_the_features_of_pictures_that_were_not_seen(lite, what):
    supernet, unseen, before = lite
    arch = with_options(supernet, what)

    def missed():
        return float((features(supernet.extract(arch), unseen) - before).norm() / before.norm())

    operators = [operator for operator in supernet.modules() if isinstance(operator, ElasticConvNorm)]
    state = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    as_fitted = missed()
    for operator in operators:
        for offset in operator.offsets:
            offset.data.zero_()
    without_offsets = missed()
    supernet.load_state_dict(state)
    for operator in operators:
        operator.mean_shift.zero_()
        operator.var_factor.fill_(1.0)
    without_statistics = missed()
    supernet.load_state_dict(state)
    assert as_fitted < 0.9 * without_offsets
    assert as_fitted < 0.95 * without_statistics
