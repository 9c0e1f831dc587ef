"""Checkpoints: whole or not there. Rows R06, R07 and T15 of the cases."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from naturalize import files
from naturalize.errors import UserError
from naturalize.run import checkpoints as checkpoints_module
from naturalize.run.checkpoints import Checkpoints

STATE = {"version": 0, "complete": True}


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "supernet")


def weights(value=1.0):
    return {"a": torch.full((4, 4), value), "b": torch.arange(3.0)}


def test_what_was_saved_is_loaded(checkpoints):
    assert checkpoints.latest() is None
    name = checkpoints.save(weights(), {"a": torch.ones(2)}, STATE)
    assert checkpoints.latest() == name == "0000"
    found, momentum, state = checkpoints.load(name)
    assert torch.equal(found["a"], weights()["a"])
    assert torch.equal(momentum["a"], torch.ones(2))
    assert state == STATE


def test_names_are_numbers_not_texts(checkpoints):
    for name in ("9999", "10000"):
        (checkpoints.directory / name).mkdir(parents=True)
    assert checkpoints.names() == ["9999", "10000"]
    assert checkpoints.save(weights(), {}, STATE) == "10001"


def test_pruning_keeps_the_latest_and_what_is_named(checkpoints):
    for version in range(3):
        checkpoints.save(weights(), {}, {"version": version, "complete": True})
    checkpoints.save(weights(), {}, {"version": 2, "complete": False})
    checkpoints.prune([1])
    assert checkpoints.names() == ["0001", "0003"]
    assert checkpoints.version(1) == "0001"
    assert checkpoints.version(2) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weights", "momentum"])
def test_T15_what_is_not_finite_is_never_saved(checkpoints, value, where):
    checkpoints.save(weights(), {}, STATE)
    broken = (weights(value), {}) if where == "weights" else (weights(), weights(value))
    with pytest.raises(UserError, match=r"a is no longer finite.*supernet/0000"):
        checkpoints.save(*broken, {"version": 1, "complete": True})
    assert checkpoints.names() == ["0000"]


@pytest.mark.parametrize("write", range(7))
def test_R07_a_disk_that_fills_up_at_any_write_leaves_the_earlier_checkpoint_and_says_what_is_needed(
    checkpoints, monkeypatch, write
):
    """A save syncs three files and their directory, the directory of all, then the pointer."""
    checkpoints.save(weights(), {}, STATE)
    calls = []
    fsync = os.fsync

    def full(handle):
        calls.append(handle)
        if len(calls) > write:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match=r"disk of .*supernet.* is full \(\d+\.\d MB needed, .* MB free\): free some"):
        checkpoints.save(weights(2.0), {"a": torch.ones(2)}, {"version": 1, "complete": True})
    monkeypatch.undo()
    assert checkpoints.latest() == "0000"
    assert torch.equal(checkpoints.load("0000")[0]["a"], weights()["a"])
    assert not list(checkpoints.directory.rglob(".*.new"))
    name = checkpoints.save(weights(2.0), {}, {"version": 1, "complete": True})
    checkpoints.prune([])
    assert checkpoints.names() == [name]


@pytest.mark.parametrize("point", ["weights.safetensors", "trainer.safetensors", "state.json", "latest"])
def test_R06_a_save_that_ends_anywhere_leaves_the_earlier_checkpoint(checkpoints, monkeypatch, point):
    checkpoints.save(weights(), {}, STATE)

    class Killed(BaseException):
        pass

    def killed(write):
        def instead(path, *content):
            if Path(path).name == point:
                raise Killed
            write(path, *content)

        return instead

    for name in ("save_tensors", "write_json", "write_text"):
        monkeypatch.setattr(checkpoints_module, name, killed(getattr(checkpoints_module, name)))
    with pytest.raises(Killed):
        checkpoints.save(weights(2.0), {}, {"version": 1, "complete": True})
    monkeypatch.undo()
    assert checkpoints.latest() == "0000"
    assert torch.equal(checkpoints.load("0000")[0]["a"], weights()["a"])
    name = checkpoints.save(weights(3.0), {}, {"version": 1, "complete": True})
    assert torch.equal(checkpoints.load(name)[0]["a"], weights(3.0)["a"])


@pytest.mark.parametrize("file", ["weights.safetensors", "trainer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named(checkpoints, file, damage):
    name = checkpoints.save(weights(), {}, STATE)
    path = checkpoints.directory / name / file
    path.write_bytes(path.read_bytes()[:7]) if damage == "cut" else path.unlink()
    with pytest.raises(UserError, match=r"checkpoint .*0000 is damaged"):
        checkpoints.load(name)


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".front.json.123.new").write_text("half")
    (tmp_path / ".0001.new").mkdir()
    (tmp_path / ".0001.new" / "weights.safetensors").write_text("half")
    (tmp_path / "front.json").write_text("{}")
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["front.json"]
    files.remove_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["weights.safetensors", "trainer.safetensors", "state.json"])
def test_X11_one_flipped_bit_in_a_checkpoint_is_noticed(checkpoints, file):
    state = {"version": 4, "complete": False, "training": {"step": 17}}
    name = checkpoints.save(weights(), {"a": torch.ones(2)}, state)
    path = checkpoints.directory / name / file
    whole = path.read_bytes()
    checkpoints.load(name)
    for position in np.random.default_rng(0).choice(len(whole), 24, replace=False).tolist():
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            found, trainer, told = checkpoints.load(name)
        except UserError:
            continue
        assert torch.equal(found["a"], weights()["a"])  # white space of JSON, or a name that means nothing
        assert torch.equal(found["b"], weights()["b"])
        assert torch.equal(trainer["a"], torch.ones(2))
        assert told == state


@pytest.mark.parametrize("content", [b"", b"\xb0000", b"0099", b"0000 0123456789"])
def test_X11_a_damaged_pointer_is_noticed(checkpoints, content):
    for _ in range(2):
        checkpoints.save(weights(), {}, STATE)
    pointer = checkpoints.directory / "latest"
    whole = pointer.read_bytes()
    assert checkpoints.latest() == "0001"
    pointer.write_bytes(whole.replace(b"0001", b"0000"))
    with pytest.raises(UserError, match="latest is damaged"):
        checkpoints.latest()
    pointer.write_bytes(content)
    with pytest.raises(UserError, match="the newest is 0001"):
        checkpoints.latest()
    pointer.write_text("0000\n")  # as a person writes it
    assert checkpoints.latest() == "0000"


@pytest.mark.parametrize("content", ["5", "null", "[1]"])
def test_X11_a_state_that_is_no_table_is_noticed(checkpoints, content):
    name = checkpoints.save(weights(), {}, STATE)
    path = checkpoints.directory / name / "state.json"
    path.write_text(path.read_text().replace("version", "wersion"))
    for _ in range(2):
        with pytest.raises(UserError, match=r"checkpoint .*0000 is damaged"):
            checkpoints.version(4)
        path.write_text(content)


def test_X11_checkpoints_of_before_there_were_checksums_load(checkpoints):
    name = checkpoints.save(weights(), {"a": torch.ones(2)}, STATE)
    for file in ("weights.safetensors", "trainer.safetensors"):
        path = checkpoints.directory / name / file
        path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path)))
    assert torch.equal(checkpoints.load(name)[0]["a"], weights()["a"])
