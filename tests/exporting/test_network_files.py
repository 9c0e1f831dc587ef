import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import check_of

from naturalize.errors import UserError
from naturalize.exporting import Network, load_network, save_network


def test_a_saved_network_loads_with_the_same_outputs_and_card(tmp_path: Path, large: Network) -> None:
    loaded = load_network(save_network(tmp_path, large))
    pixels = torch.from_numpy(check_of(large).pixels)
    assert torch.equal(loaded.subnet(pixels), large.subnet(pixels))
    assert loaded.card == large.card
    assert not loaded.subnet.training


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path, small: Network, large: Network) -> None:
    first = save_network(tmp_path, small)
    before = first.read_bytes()
    second = save_network(tmp_path, small, {first.name})
    assert second != first
    assert second.read_bytes() == first.read_bytes() == before
    assert load_network(second).card == load_network(first).card
    assert save_network(tmp_path, small, {second.name}) == first


def test_x10_the_file_holds_the_networks_own_numbers_and_a_header(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    floats = [*small.subnet.parameters(), *(b for b in small.subnet.buffers() if b.is_floating_point())]
    normalization = sum(value.numel() for value in small.subnet.normalize.buffers())  # that is in the card
    numbers = sum(value.numel() for value in floats) - normalization
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size == header + 4 * numbers


def test_x10_slices_of_shared_weights_are_saved_alone(tmp_path: Path, small: Network, large: Network) -> None:
    sliced = load_network(save_network(tmp_path, small))
    weight = sliced.subnet.head.classifier.weight
    weight.data = torch.cat([weight.data, torch.ones(1000, weight.shape[1])])[: len(weight)]
    before = save_network(tmp_path / "plain", small).read_bytes()
    assert save_network(tmp_path / "sliced", sliced).read_bytes() == before


def test_x12_a_moved_network_loads(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path / "networks", small)
    assert str(tmp_path).encode() not in path.read_bytes() + path.with_suffix(".json").read_bytes()
    shutil.move(tmp_path / "networks", tmp_path / "elsewhere")
    load_network(tmp_path / "elsewhere" / path.name)


@pytest.mark.parametrize("damage", [b"", b"not a tensor in sight", None])
def test_damaged_weights_are_named(tmp_path: Path, small: Network, damage: bytes | None) -> None:
    path = save_network(tmp_path, small)
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(UserError, match=path.name):
        load_network(path)


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"format": 1}', '{"format": "one"}'])
def test_damaged_cards_are_named(tmp_path: Path, small: Network, damage: str) -> None:
    path = save_network(tmp_path, small)
    path.with_suffix(".json").write_text(damage)
    with pytest.raises(UserError, match=f"{path.stem}.json"):
        load_network(path)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, small: Network, suffix: str) -> None:
    path = save_network(tmp_path, small)
    path.with_suffix(suffix).unlink()
    with pytest.raises(UserError, match=path.name):
        load_network(path)


def change(path: Path, **values: object) -> None:
    card = json.loads(path.with_suffix(".json").read_text()) | values
    del card["checksum"]  # as if it was written so
    path.with_suffix(".json").write_text(json.dumps(card))


def test_a_newer_format_asks_for_an_update(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    change(path, format=2)
    with pytest.raises(UserError, match="newer than this naturalize"):
        load_network(path)


def test_weights_are_not_paired_with_the_card_of_another_version(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    change(path, weights_version=4)
    with pytest.raises(UserError, match="different versions"):
        load_network(path)


def test_weights_are_not_paired_with_the_card_of_another_network(
    tmp_path: Path, small: Network, large: Network
) -> None:
    path = save_network(tmp_path, small)
    change(path, spec=large.card["spec"])
    with pytest.raises(UserError, match="other weights"):
        load_network(path)


def test_X11_one_flipped_bit_in_the_weights_is_noticed(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in np.random.default_rng(0).integers(header, len(whole), 20).tolist():
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="damaged"):
            load_network(path)


def test_C6_weights_beside_the_card_of_others_are_refused(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    card = path.with_suffix(".json").read_bytes()
    other = copy.deepcopy(small)  # which other tests share
    with torch.no_grad():
        other.subnet.head.classifier.bias += 1.0
    save_network(tmp_path, other)
    path.with_suffix(".json").write_bytes(card)  # as a kill between the two files leaves them
    with pytest.raises(UserError, match="of different versions of the weights"):
        load_network(path)


def test_C6_a_card_of_before_there_were_checksums_loads(tmp_path: Path, small: Network) -> None:
    path = save_network(tmp_path, small)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    del card["sha256"], card["checksum"]
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    assert load_network(path).card == small.card
