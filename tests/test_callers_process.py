"""What a library call leaves of the process that it was called in (C11), and of a user's files in a run (C20)."""

import json

import pytest
import torch

import naturalize
from naturalize import schedule
from naturalize.errors import Interrupted


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few networks measured: what is left behind does not depend on how many."""
    monkeypatch.setattr(schedule, "INITIAL", 8)
    monkeypatch.setattr(schedule, "NEW", 4)


@pytest.fixture
def threads():
    """One thread for this test, as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield 1
    torch.set_num_threads(before)


def test_C11_generator_and_threads_are_as_before(bands, tmp_path, threads):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    run = naturalize.transfer(bands, tmp_path / "run", iterations=1, epochs=1, listeners=())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    run.best().module()
    naturalize.finish(tmp_path / "run", data=bands, listeners=())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    naturalize.export(tmp_path / "run", tmp_path / "model.pt")
    assert torch.equal(torch.get_rng_state(), state)


def test_C11_so_they_are_after_photographs_were_looked_at(picture_maker, tmp_path, threads):
    data = picture_maker(tmp_path / "photographs", 20, "cat", "dog", size=(96, 80))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    naturalize.check(str(data), listeners=())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_C11_so_they_are_after_a_stop_and_when_a_network_is_cut_from_the_kept_supernet(bands, tmp_path, threads):
    def stop(event):
        if event["event"] == "iteration" and event["iteration"] == 1:
            raise Interrupted(15)

    torch.manual_seed(5)
    state = torch.get_rng_state()
    with pytest.raises(Interrupted):
        naturalize.transfer(bands, tmp_path / "run", iterations=2, epochs=1, listeners=[stop])
    network = naturalize.open_run(tmp_path / "run").best()
    assert network.measured.weights is None
    network.module()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_C20_files_of_a_user_in_a_run_stay(bands, tmp_path):
    out = tmp_path / "run"
    run = naturalize.transfer(bands, out, iterations=1, epochs=1, listeners=())
    theirs = [out / "networks" / name for name in ("mine.onnx", "best.safetensors", "notes.json")]
    theirs += [out / "pictures" / "1 (copy).png"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("a user's")
    (out / "networks" / ".ipynb_checkpoints").mkdir()
    (out / "networks" / "old").mkdir()
    (out / "front.json").unlink()
    naturalize.finish(out, data=bands, listeners=())
    assert [path.read_text() for path in theirs] == ["a user's"] * len(theirs)
    assert (out / "networks" / "old").is_dir()
    named = {network["weights"] for network in json.loads((out / "front.json").read_text())["networks"]}
    assert all((out / name).exists() for name in named)
    assert run.best().module()(torch.zeros(1, 1, 20, 20)).isfinite().all()
