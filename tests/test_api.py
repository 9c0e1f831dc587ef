"""The functions that Python users call."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

import naturalize
from naturalize import lifecycle, options, schedule
from naturalize.errors import UserError
from naturalize.progress import Progress
from naturalize.run import Watch

Arrays = tuple[np.ndarray, np.ndarray]


def make_arrays(n: int = 40, side: int = 8) -> Arrays:
    """Grey pictures of three classes, which differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return (40 + 80 * labels[:, None, None] + rng.integers(0, 30, (n, side, side))).astype(np.uint8), labels


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Fewer networks measured than by default, on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "INITIAL", 24)
        patch.setattr(schedule, "NEW", 6)
        patch.setattr("naturalize.workbench.allowed_cpus", lambda: 1)
        yield


@pytest.fixture(scope="module")
def run(small: None, tmp_path_factory: pytest.TempPathFactory) -> naturalize.Run:
    """A finished run on arrays."""
    return naturalize.transfer(
        make_arrays(), tmp_path_factory.mktemp("api") / "run", iterations=1, epochs=1, listeners=()
    )


def test_a_run_gives_its_front_and_plain_modules(run: naturalize.Run) -> None:
    front = run.front()
    assert [network.madds for network in front] == sorted(network.madds for network in front)
    best = run.best()
    smallest = run.best(f"madds<={front[0].madds}")
    assert smallest.measured == front[0]
    assert best.measured.val_error_views <= smallest.measured.val_error_views
    module = best.module()
    assert not module.training
    side = best.measured.resolution
    with torch.inference_mode():
        assert module(torch.zeros(2, 1, side, side)).shape == (2, 3)
    assert naturalize.open_run(run.directory).front() == front


def test_export_and_predict_agree(run: naturalize.Run, tmp_path: Path) -> None:
    from PIL import Image

    images, labels = make_arrays(6)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    done = naturalize.export(run, tmp_path / "m.onnx")
    assert done.path.exists()
    by_file = list(naturalize.predict(done.path, tmp_path))
    assert [row.path for row in by_file] == [f"{tmp_path.as_posix()}/{number}.png" for number in range(6)]
    for model in (run, run.directory, run.best()):
        rows = list(naturalize.predict(model, [tmp_path]))
        assert [(row.path, row.name) for row in rows] == [(row.path, row.name) for row in by_file]
    assert set(run.class_names) == {str(label) for label in labels}


def test_arrays_are_asked_for_again_to_resume(run: naturalize.Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="arrays"):
        naturalize.resume(run.directory, iterations=2, listeners=())
    with pytest.raises(UserError, match="not those that"):
        naturalize.resume(run.directory, data=make_arrays(30), iterations=2, listeners=())
    again = naturalize.transfer(make_arrays(), run.directory, iterations=1, epochs=1, listeners=())
    assert again.front() == run.front()


def test_check_says_what_it_understood() -> None:
    lines = naturalize.check(make_arrays(), listeners=())
    assert any("3 classes (0, 1, 2), grey pictures" in line for line in lines)


def test_a_transfer_starts_from_prepared_weights(
    small: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared = naturalize.prepare(make_arrays(), tmp_path / "supernet", epochs=1, listeners=())
    assert prepared.checkpoints.latest() is not None
    with pytest.raises(UserError, match="whose length is fixed when it starts"):
        naturalize.resume(prepared.directory, iterations=2, listeners=())
    naturalize.prepare(make_arrays(), tmp_path / "supernet", epochs=1)
    assert f"more: start another one from it, as --supernet {prepared.directory}" in capfd.readouterr().err
    images, labels = make_arrays()
    some = labels < 2
    run = naturalize.transfer(
        (images[some], labels[some]),
        tmp_path / "run",
        iterations=1,
        epochs=1,
        supernet=prepared.directory,
        listeners=(),
    )
    assert len(run.class_names) == 2
    assert run.front()


def test_progress_is_shown_unless_listeners_say_otherwise(
    run: naturalize.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    naturalize.transfer(make_arrays(), run.directory, iterations=1, epochs=1)
    assert "finished already" in capfd.readouterr().err
    heard: list[str] = []
    naturalize.transfer(
        make_arrays(), run.directory, iterations=1, epochs=1, listeners=[lambda event: heard.append(event["event"])]
    )
    assert "already finished" in heard
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": "soon"}, "20m"),
        ({"budget": ""}, "20m"),
        ({"iterations": 0}, "1 or more"),
        ({"objectives": "eror"}, "did you mean error"),
        ({"require": "madds<1"}, "smallest madds"),
        ({"supernet": "maxi"}, "known are"),
        ({"supernet": "mini", "scratch": True, "archive": "nowhere"}, "nowhere"),
    ],
)
def test_bad_arguments_are_user_errors(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        naturalize.transfer(make_arrays(), tmp_path / "run", listeners=(), **options)
    assert not (tmp_path / "run").exists()


def test_T09_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "multiprocessing.set_start_method('spawn')\n"
        "import numpy as np\n"
        "import naturalize\n"
        "from naturalize import schedule\n"
        "schedule.INITIAL, schedule.NEW = 14, 4\n"
        "labels = np.arange(40) % 2\n"
        "images = (labels[:, None, None] * 90 + np.arange(64).reshape(8, 8)).astype(np.uint8)\n"
        "images[:, 0, 0] = np.arange(40)\n"
        "run = naturalize.transfer((images, labels), 'run', iterations=1, epochs=1)\n"
        "print(len(run.front()))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(json.loads((tmp_path / "run" / "front.json").read_text())["networks"])


class SlowReading:
    """In place of `open_data`: some of 1,000 pictures take a number of seconds, and time passes at once."""

    def __init__(self, watch: Watch, seconds: float, done: int) -> None:
        self.watch, self.seconds, self.done = watch, seconds, done

    def __call__(self, data: object, *, progress: Progress, **_options: object) -> str:
        self.watch._started -= self.seconds
        progress("scan", self.done, 1000)
        return "read"


@pytest.mark.parametrize(
    ("start_s", "reading_s", "done", "told"),
    [
        (40, 1, 100, None),
        (0, 20, 100, None),
        (2, 40, 1000, None),
        (2, 40, 100, "reading 1,000 pictures takes about 6m 40s, .* --budget 27m"),
    ],
)
def test_reading_that_takes_half_of_a_budget_is_refused_whatever_the_start_took(
    monkeypatch: pytest.MonkeyPatch, start_s: float, reading_s: float, done: int, told: str | None
) -> None:
    watch = Watch([], time.monotonic() - start_s)
    monkeypatch.setattr(lifecycle, "open_data", SlowReading(watch, reading_s, done))
    settings = options.make_settings("photos", "60s", None, None)
    with pytest.raises(UserError, match=told) if told else nullcontext():
        assert lifecycle.read_data("photos", settings, watch, None) == "read"
