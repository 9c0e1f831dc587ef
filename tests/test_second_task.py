"""A task by another name: nothing but its beginning knows what the task of a run is called."""

import json
import sqlite3

import numpy as np

import naturalize
from naturalize import beginning, schedule


def test_a_run_whose_task_has_another_name_goes_all_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(beginning, "TASK", "birds")
    monkeypatch.setattr(schedule, "INITIAL", 16)
    monkeypatch.setattr(schedule, "NEW", 4)
    labels = np.arange(48) % 3
    noise = np.random.default_rng(0).integers(0, 30, (48, 8, 8))
    data = (40 + 80 * labels[:, None, None] + noise).astype(np.uint8), labels
    run = naturalize.transfer(data, tmp_path / "run", iterations=1, epochs=1, listeners=())
    assert list(run.tasks) == ["birds"]
    assert json.loads((run.directory / "front.json").read_text())["task"] == "birds"
    with sqlite3.connect(run.directory / "archive.sqlite") as archive:
        assert {task for (task,) in archive.execute("SELECT task FROM measurements")} == {"birds"}
    assert list(run.trained_supernet().heads) == ["birds"]
    naturalize.export(run, tmp_path / "model.onnx")
    again = naturalize.transfer(data, tmp_path / "again", supernet=run.directory, iterations=1, epochs=1, listeners=())
    assert list(again.trained_supernet().heads) == ["birds"]


def test_weights_of_a_task_start_a_task_of_another_name():
    from naturalize.supernet import Supernet
    from naturalize.tasks import Classification
    from naturalize.weights import imagenet_supernet, transplant

    source = imagenet_supernet("ofa-mbv3", 5)
    heads = {"birds": Classification(5).heads(source.family)}
    target = Supernet(source.family, heads, [0.0] * 3, [1.0] * 3)
    transplant(target, source, classifier=True)
    for body in source.family.bodies:
        for name, tensor in source.head_of(body).state_dict().items():
            assert (target.head_of(body, "birds").state_dict()[name] == tensor).all()
