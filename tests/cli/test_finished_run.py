"""What a user does with a finished run. Its class names and its path hold what breaks careless programs (I05)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import ASCII, Finished, Quick, content_of, naturalize
from PIL import Image

import naturalize as library
from naturalize import predicting
from naturalize.lifecycle import reopen_data
from naturalize.numbers import percent
from naturalize.run import Watch
from naturalize.run.run import card_of


def files_of(run: Finished, split: str) -> list[str]:
    """The pictures of a split, as the run lists them."""
    lists = json.loads((run.directory / "splits.json").read_text(encoding="utf-8"))
    return [str(run.photos / name) for name in lists[split]]


def percent_wrong(answers: list[tuple[str, str]]) -> float:
    """Of pairs of a file, whose folder is its class, and an answer."""
    return 100.0 * sum(Path(file).parent.name != name for file, name in answers) / len(answers)


@pytest.fixture
def moved(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run as `run` in an empty working directory, where its data are not."""
    monkeypatch.chdir(tmp_path)
    finished.copy(tmp_path / "run")
    return Path("run")


def test_P03_output_in_a_file_is_plain_lines(finished: Finished) -> None:
    for text in (finished.done.out, finished.done.err):
        assert "\r" not in text
        assert "\x1b" not in text
    table = finished.done.lines[: 1 + len(finished.front["networks"])]
    assert table[0].split() == ["architecture", "px", "MAdds", "params", "val", "error", "test", "error"]
    assert len(finished.done.lines) == len(table) + 2
    assert "iteration 0: " in finished.done.err
    assert "final measurement: " in finished.done.err


def test_I05_names_are_escaped_on_an_ascii_terminal_and_utf8_in_files(finished: Finished) -> None:
    assert "caf\\xe9" in finished.done.err
    assert finished.front["class_names"] == ["<i>", "a b", "café"]
    page = (finished.directory / "report.html").read_text(encoding="utf-8")
    assert "<i>" not in page.split("<body")[1].split("<script")[0]
    assert "café" in page


def test_I08_paths_in_the_files_are_relative_with_slashes(finished: Finished) -> None:
    root = str(finished.photos.parent)
    for name in ("run.toml", "front.json", "splits.json", "events.jsonl", "report.html"):
        text = (finished.directory / name).read_text(encoding="utf-8")
        assert root not in text, name
    for network in finished.front["networks"]:
        assert network["weights"].startswith("networks/")
        assert (finished.directory / network["weights"]).is_file()


def test_front_prints_the_table_and_its_json(finished: Finished, quick: Quick) -> None:
    done = quick("front", finished.directory)
    assert done.code == 0
    assert [line.split()[0] for line in done.lines[1:]] == [n["architecture"] for n in finished.front["networks"]]
    assert json.loads(quick("front", finished.directory, "--json").out) == finished.front


def test_front_lists_what_is_asked_for_and_says_why(finished: Finished, quick: Quick) -> None:
    networks = finished.front["networks"]
    limit = networks[0]["objectives"]["size"]
    small = quick("front", finished.directory, "--require", f"size<={limit:.0f}B", "--sort", "test_error")
    listed = {line.split()[0] for line in small.lines[1:]}
    assert listed == {n["architecture"] for n in networks if n["objectives"]["size"] <= limit}
    table = quick("front", finished.directory, "--format", "csv", "--sort", "size").out
    rows = list(csv.DictReader(table.splitlines()))
    assert [float(row["size"]) for row in rows] == sorted(n["objectives"]["size"] for n in networks)
    knee = quick("front", finished.directory, "--knee")
    assert len(knee.lines) == 3
    assert f"the knee of {len(networks)} network" in knee.out
    at = json.loads(quick("front", finished.directory, "--at", "madds=1", "--format", "json").out)
    assert [n["architecture"] for n in at["networks"]] == [networks[0]["architecture"]]


def test_export_says_which_network_it_chose(finished: Finished, quick: Quick, tmp_path: Path) -> None:
    done = quick("export", finished.directory, "--at", "madds=1", "--to", tmp_path / "m.onnx")
    assert done.code == 0
    assert done.lines[0].startswith(f"chose {finished.front['networks'][0]['architecture']}, nearest to madds=1 of")


def test_an_int8_file_is_less_than_half_of_the_float_one_and_answers_alike(
    finished: Finished, quick: Quick, tmp_path: Path
) -> None:
    float_file, int8 = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    assert quick("export", finished.directory, "--to", float_file).code == 0
    done = quick("export", finished.directory, "--format", "onnx-int8", "--to", int8)
    assert done.code == 0, done
    assert "Percentile" not in done.out  # what onnxruntime prints
    assert int8.stat().st_size < 0.5 * float_file.stat().st_size
    metadata = {entry.key: json.loads(entry.value) for entry in onnx.load(int8).metadata_props}
    facts = metadata["quantized"]
    assert facts["agreement"] == max(facts["agreement_by_method"].values())
    assert set(facts["agreement_by_method"]) == {"MinMax", "Percentile"}
    assert metadata["naturalize"]["class_names"] == finished.front["class_names"]
    kinds = {node.op_type for node in onnx.load(int8).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    pictures = files_of(finished, "test")
    rows = [quick("predict", model, *pictures).out.splitlines() for model in (float_file, int8)]
    same = [a.split("\t")[1] == b.split("\t")[1] for a, b in zip(*rows, strict=True)]
    assert np.mean(same) > 0.8


def test_an_int8_file_has_no_other_opset(finished: Finished, quick: Quick, tmp_path: Path) -> None:
    done = quick("export", finished.directory, "--format", "onnx-int8", "--opset", "17", "--to", tmp_path / "m.onnx")
    assert done.code == 2
    assert "int8 files are of opset 13" in done.err
    assert not list(tmp_path.iterdir())


def test_T04_the_report_shows_the_error_of_each_class(finished: Finished) -> None:
    page = (finished.directory / "report.html").read_text(encoding="utf-8")
    for words in ("balanced", "a b", "&lt;i&gt;"):
        assert words in page


def test_X12_a_moved_run_without_its_data_does_everything_but_resume(
    finished: Finished, moved: Path, quick: Quick
) -> None:
    picture = files_of(finished, "val")[0]
    for command in (
        ["front", moved],
        ["report", moved],
        ["predict", moved, picture],
        ["export", moved, "--to", "m.onnx"],
        ["export", moved, "--to", "m.pt"],
        ["finish", moved],
    ):
        done = quick(*command)
        assert done.code == 0, done
    assert quick("predict", "m.onnx", picture).code == 0
    done = quick("resume", moved, "--iterations", "2")
    assert done.code == 2
    assert "--data" in done.err
    assert len(done.err.splitlines()) == 1
    assert "iterations = 1" in (moved / "run.toml").read_text(encoding="utf-8")


def test_P07_a_cut_event_and_a_lost_report_break_nothing(finished: Finished, moved: Path, quick: Quick) -> None:
    events = moved / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-20])
    (moved / "report.html").unlink()
    assert quick("report", moved).code == 0
    events.unlink()
    (moved / "report.html").unlink()
    assert quick("report", moved).code == 0
    assert (moved / "report.html").stat().st_size > 10_000


def test_a_lost_front_is_written_anew_by_finish(finished: Finished, moved: Path, quick: Quick) -> None:
    (moved / "front.json").write_bytes((moved / "front.json").read_bytes()[:99])
    done = quick("finish", moved, "--data", finished.photos)
    assert done.code == 0, done
    assert json.loads((moved / "front.json").read_bytes()) == finished.front


def test_R02_R15_the_same_command_again_says_that_it_is_finished(
    finished: Finished, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.directory.parents[1])
    before = content_of(finished.directory)
    done = quick("transfer", *finished.arguments)
    assert done.code == 0, done
    assert "finished already" in done.err
    assert done.out.startswith("architecture")
    after = content_of(finished.directory)
    assert {name for name in after if after[name] != before.get(name)} <= {"events.jsonl", "archive.sqlite"}


@pytest.mark.parametrize("batch", [1, 32])
def test_S02_X15_predict_on_the_validation_files_gives_the_error_of_the_front(
    finished: Finished, quick: Quick, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(predicting, "BATCH", batch)
    files = files_of(finished, "val")
    for network in finished.front["networks"]:
        model = library.open_run(finished.directory).network(network["architecture"])
        answers = [row.name or "" for row in library.predict(model, files)]
        assert percent_wrong(list(zip(files, answers, strict=True))) == network["val_error"]
        assert len(files) == network["val_images"]
    rows = quick("predict", finished.directory, *files)
    best = min(finished.front["networks"], key=lambda n: (n["val_error_views"], n["madds"]))
    answers = [line.split("\t")[1] for line in rows.out.splitlines()]
    assert percent_wrong(list(zip(files, answers, strict=True))) == best["val_error"]


def test_pictures_below_the_threshold_are_none_of_the_classes(finished: Finished, tmp_path: Path, quick: Quick) -> None:
    """The shares that a threshold is told by are those of the run's own test pictures."""
    files, model = files_of(finished, "test"), tmp_path / "m.onnx"
    library.export(finished.directory, model)
    rows = [*library.predict(finished.directory, files)]
    probabilities = sorted(row.probability or 0.0 for row in rows)
    middle = round(probabilities[len(rows) // 2] - 0.005, 2)
    below = [(row.probability or 0.0) < middle for row in rows]
    assert any(below)
    assert not all(below)
    assert [row.name is None for row in library.predict(finished.directory, files, threshold=middle)] == below
    left = [(row.path, row.name or "") for row, is_below in zip(rows, below, strict=True) if not is_below]
    everything = [(row.path, row.name or "") for row in rows]
    for source in (finished.directory, model):
        done = quick("predict", source, *files, "--threshold", str(middle))
        assert done.code == 0
        answers = [line.split("\t")[1] for line in done.out.splitlines()]
        assert answers == ["none of these" if no else row.name for no, row in zip(below, rows, strict=True)]
        assert done.err.strip() == (
            f"of the run's {len(files)} test pictures, {percent(100 * np.mean(below))} are below {middle:g}, and "
            f"{percent(percent_wrong(left))} of the others are wrong ({percent(percent_wrong(everything))} of all)"
        )
    surest = quick("predict", model, *files, "--threshold", "1")
    assert {line.split("\t")[1] for line in surest.out.splitlines()} == {"none of these"}
    assert surest.err.strip() == f"of the run's {len(files)} test pictures, 100.0% are below 1"
    assert quick("predict", model, *files).err == ""


def test_X01_the_example_beside_the_exported_file_reproduces_the_test_error(
    finished: Finished, tmp_path: Path, quick: Quick
) -> None:
    for number, network in enumerate(finished.front["networks"][:2]):
        model = tmp_path / f"m{number}.onnx"
        done = quick("export", finished.directory, "--architecture", network["architecture"], "--to", model)
        assert done.code == 0, done
        assert [line.split()[0] for line in done.lines] == ["wrote", "wrote", "checked"]
        example = tmp_path / f"m{number}_example.py"
        files = files_of(finished, "test")
        shown = subprocess.run([sys.executable, example, *files], capture_output=True, check=True)
        answers = [line.rpartition(": ") for line in shown.stdout.decode().splitlines()]
        assert abs(percent_wrong([(file, name) for file, _, name in answers]) - network["test_error"]) < 0.1
        assert len(answers) == network["test_images"]


def test_X14_predict_takes_files_and_folders_and_names_what_it_cannot_read(
    finished: Finished, tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = [Path(file).read_bytes() for file in files_of(finished, "val")[:4]]
    for place, content in zip(("10.jpg", "9.jpg", "sub/a b.jpg", "alone.jpg"), pictures, strict=True):
        (tmp_path / "inbox" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inbox" / place).write_bytes(content)
    Path("inbox/alone.jpg").rename("alone.jpg")
    Path("inbox/broken.jpg").write_bytes(pictures[0][:300])
    Path("inbox/.hidden.jpg").write_bytes(b"")
    Path("inbox/notes.txt").write_bytes(b"")
    done = quick("predict", finished.directory, "inbox", "alone.jpg")
    assert done.code == 2
    rows = [line.split("\t") for line in done.lines]
    assert [row[0] for row in rows] == [
        "inbox/9.jpg",
        "inbox/10.jpg",
        "inbox/broken.jpg",
        "inbox/sub/a b.jpg",
        "alone.jpg",
    ]
    assert [row[1] for row in rows].count("error") == 1
    assert rows[2][1] == "error"
    assert done.err.splitlines() == [
        "1 file passed over, no picture by its name: notes.txt",
        "naturalize: 1 of the pictures could not be read: its row says why",
    ]
    assert all(0.0 < float(row[2]) <= 1.0 for row in rows if row[1] != "error")
    assert quick("predict", finished.directory, "inbox", "alone.jpg").out == done.out


def test_S02_an_exported_file_predicts_as_its_run_on_pictures_of_any_size(finished: Finished, tmp_path: Path) -> None:
    small = Image.open(files_of(finished, "val")[0])
    for side in (500, 2000):
        for suffix in ("jpg", "png"):
            small.resize((side, side * 3 // 4)).save(tmp_path / f"{side}.{suffix}")
    exif = small.getexif()
    exif[0x112] = 6
    small.resize((2000, 1500)).save(tmp_path / "turned.jpg", exif=exif)
    library.export(finished.directory, tmp_path / "m.onnx")
    pictures = sorted(path for path in tmp_path.iterdir() if path.suffix in (".jpg", ".png"))
    of_run, of_file = ([*library.predict(model, pictures)] for model in (finished.directory, tmp_path / "m.onnx"))
    assert [(row.path, row.name) for row in of_run] == [(row.path, row.name) for row in of_file]
    assert np.allclose([row.probability for row in of_run], [row.probability for row in of_file], atol=1e-5)
    example = subprocess.run(
        [sys.executable, tmp_path / "m_example.py", *pictures], capture_output=True, check=True, encoding="utf-8"
    )
    assert example.stdout.splitlines() == [f"{path}: {row.name}" for path, row in zip(pictures, of_run, strict=True)]


def test_a_run_of_before_jpegs_were_reduced_keeps_to_its_preprocessing(finished: Finished, tmp_path: Path) -> None:
    run = library.open_run(finished.copy(tmp_path / "run"))
    assert run.jpeg_side == 224
    assert run.best().load().card["preprocessing"]["jpeg_side"] == 224
    text = (run.directory / "run.toml").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith(("jpeg_side", "checksum")))
    (run.directory / "run.toml").write_text(text, encoding="utf-8")
    old = library.open_run(run.directory)
    assert reopen_data(old, finished.photos, Watch([], 0.0)).jpeg_side is None
    assert card_of(old, finished.front, finished.front["networks"][0])["preprocessing"]["jpeg_side"] is None


def test_predict_names_classes_on_an_ascii_terminal(finished: Finished) -> None:
    done = naturalize("predict", finished.directory, finished.photos / "café", env=os.environ | ASCII)
    assert done.code == 0, done
    assert len(done.lines) == len(list((finished.photos / "café").iterdir()))
    assert {line.split("\t")[1] for line in done.lines} <= {"<i>", "a b", "caf\\xe9"}


def test_I06_without_home_and_environment(finished: Finished) -> None:
    done = naturalize("predict", finished.directory, finished.photos / "a b", env={"PATH": os.environ["PATH"]})
    assert done.code == 0, done


def test_reports_that_cannot_be_written_say_why_in_one_line(finished: Finished, moved: Path, quick: Quick) -> None:
    for arguments, why in (
        ([moved, moved], "add --at"),
        ([moved, "--at", "madds=1M"], "two directories or more"),
        ([moved, moved, "--watch"], "--watch follows one run"),
        ([moved, moved, "--at", "madds"], "write a cost"),
        ([moved, moved, "--at", "madds=1M", "--watch"], "--watch follows one run"),
        (["none", "--watch"], "does not exist"),
    ):
        done = quick("report", *arguments)
        assert (done.code, len(done.err.splitlines()), done.out) == (2, 1, "")
        assert why in done.err
    assert not (moved / "comparison.html").exists()
    done = quick("report", moved, moved, "--at", "madds=1M")
    assert (done.code, done.out) == (0, f"wrote {moved / 'comparison.html'}\n")
    done = quick("report", moved, "--watch")
    assert (done.code, done.out) == (0, f"wrote {moved / 'report.html'}\n")
