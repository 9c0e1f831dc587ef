"""Once-for-All's latency tables, against the sums that the package which published them makes."""

import importlib

import numpy as np
import pytest
import yaml
from reference import activate, networks, reference

from naturalize.errors import UserError
from naturalize.latency.table import model_of_table
from naturalize.objectives.exact import whole_layers
from naturalize.objectives.latency import Latency
from naturalize.supernet import make_family
from naturalize.tasks import Classification

TASK = Classification(1000)


class Recording(dict):
    """A look-up table that makes up a time for every key that it is asked for."""

    def __missing__(self, key):
        self[key] = {"mean": round(float(np.random.default_rng(len(key) + sum(map(ord, key))).uniform(0.1, 3)), 4)}
        return self[key]


def package_table(name):
    """The package's own look-up, with made-up times, without its download."""
    networks()
    module = importlib.import_module("ofa.nas.efficiency_predictor.latency_lookup_table")
    kind = module.ProxylessNASLatencyTable if "proxyless" in name else module.MBv3LatencyTable
    table = object.__new__(kind)
    table.lut = Recording()
    return table


@pytest.mark.parametrize("name", ["ofa-mbv3-w1.0", "ofa-mbv3-w1.2", "ofa-proxyless-w1.3"])
def test_a_look_up_table_gives_the_sums_of_the_package_that_published_it(name, tmp_path):
    family, theirs, network = make_family(name, 224), package_table(name), reference(name)
    codes = np.concatenate([family.space.corners(), family.space.sample(12, np.random.default_rng(0))])
    expected = []
    for arch in family.space.architectures(codes):
        activate(network, family, arch)
        subnet = network.get_active_subnet(preserve_weight=False)
        expected.append(theirs.predict_network_latency(subnet, family.resolutions[arch.code[0]]))
    layers = whole_layers(family, TASK, 3)
    path = tmp_path / "phone.yaml"
    # a published table has every layer of a space; the rest of this one's times is made up likewise
    fill(theirs.lut, path, family, layers)
    model, _ = model_of_table(str(path), family.space, layers)
    found = Latency(model, family, TASK, 3)(codes)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.ptp(found) > 1


def fill(table, path, family, layers):
    """Write a look-up table with the layers that one asked for, and all others of the space."""
    from naturalize.latency.table import BlockTable, every_layer

    path.write_text(yaml.safe_dump(dict(table)))
    keys = BlockTable(dict.fromkeys(table, 0.0)).keys(every_layer(family.space, layers))
    for key in np.unique(keys).tolist():
        table[key] if key else None
    path.write_text(yaml.safe_dump(dict(table)))


def test_layers_that_a_look_up_table_lacks_are_named(tmp_path):
    family, theirs = make_family("ofa-mbv3-w1.0", 224), package_table("ofa-mbv3-w1.0")
    layers, path = whole_layers(family, TASK, 3), tmp_path / "phone.yaml"
    theirs.lut["expanded_conv-input:96x96x16-output:48x48x24-expand:64-kernel:3-stride:2-idskip:0-se:0-hs:0"]
    fill(theirs.lut, path, family, layers)
    whole = yaml.safe_load(path.read_text())
    gone = [key for key in whole if "input:112x112x16" in key and "kernel:5" in key]
    assert gone
    path.write_text(yaml.safe_dump({key: value for key, value in whole.items() if key not in gone}))
    with pytest.raises(UserError, match=rf"lacks {len(gone)} of the .* layers .* {gone[0]}"):
        model_of_table(str(path), family.space, layers)


def test_a_classifier_of_other_classes_has_the_time_of_the_published_one(tmp_path):
    family, theirs = make_family("ofa-mbv3-w1.0", 224), package_table("ofa-mbv3-w1.0")
    layers, path = whole_layers(family, TASK, 3), tmp_path / "phone.yaml"
    theirs.lut["expanded_conv-input:96x96x16-output:48x48x24-expand:64-kernel:3-stride:2-idskip:0-se:0-hs:0"]
    fill(theirs.lut, path, family, layers)
    few = Classification(7)
    model, _ = model_of_table(str(path), family.space, whole_layers(family, few, 3))
    codes = family.space.sample(5, np.random.default_rng(1))
    np.testing.assert_allclose(Latency(model, family, few, 3)(codes), Latency(model, family, TASK, 3)(codes))


def test_a_supernet_without_inverted_residuals_has_no_look_up_table(tmp_path):
    family, path = make_family("ofa-resnet50", 128), tmp_path / "phone.yaml"
    path.write_text("Conv-input:224x224x3-output:112x112x16: {mean: 1.0}\n")
    with pytest.raises(UserError, match="inverted residuals, which this supernet does not have"):
        model_of_table(str(path), family.space, whole_layers(family, TASK, 3))
