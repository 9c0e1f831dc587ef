"""The weights inside the package: what is in the files, and that they are what a start takes."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from naturalize import options
from naturalize.errors import UserError
from naturalize.supernet import make_family
from naturalize.tasks import Classification
from naturalize.weights import BUNDLED, bundled, has_published, published_supernet


def test_the_file_is_small_and_holds_no_classifier():
    path = BUNDLED / "mini.safetensors"
    assert path.stat().st_size <= 4e6
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert not [name for name in tensors if ".classifier." in name]
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_C15_a_damaged_file_is_refused(tmp_path, monkeypatch):
    for path in BUNDLED.glob("mini.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert bundled.bundled_supernet("mini")
    content = bytearray((tmp_path / "mini.safetensors").read_bytes())
    content[-1000] ^= 1
    (tmp_path / "mini.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged .*: install naturalize again"):
        bundled.bundled_supernet("mini")


def test_the_card_says_how_the_weights_came_to_be():
    card = json.loads((BUNDLED / "mini.json").read_text(encoding="utf-8"))
    assert card["supernet"] == "mini"
    assert "CIFAR-100" in card["data"]
    assert card["command"].startswith("python tools/mini_weights.py")
    assert f"--epochs {card['epochs']} " in card["command"]
    for split in ("val", "test"):
        figures = card["accuracy"][split]
        assert 0 < figures["smallest"] < figures["random"] < figures["largest"] < 100


def test_a_start_by_name_has_the_weights_of_the_file():
    assert has_published("mini")
    assert options.named_supernet("mini", scratch=False) == ("mini", "published")
    supernet, tensors = published_supernet("mini"), load_file(BUNDLED / "mini.safetensors")
    state = supernet.state_dict()
    assert {name for name, _ in supernet.named_parameters() if ".classifier." not in name} == set(tensors)
    for name, tensor in tensors.items():
        torch.testing.assert_close(state[name], tensor.float(), rtol=0, atol=0)
    family = make_family("mini", 32)
    assert supernet.family == family
    largest = family.space.largest
    heads = Classification(2).heads(family)
    assert supernet.head(largest, "default").classifier.weight.shape == heads[0].classifier.weight.shape
    assert np.isfinite(supernet.eval()(torch.zeros(1, 3, 32, 32), largest).detach().numpy()).all()
