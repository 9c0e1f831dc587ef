"""Fine-tuning: chosen networks trained on; none is replaced by a worse one."""

import json
import pathlib
import shutil

import pytest

from runs import SMALL, command


@pytest.fixture(scope="module")
def finished(bands, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    command("transfer", bands, "--iterations", "1", "--epochs", "1", "--seed", "1", "--out", run)
    return run


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def front_of(run):
    return {n["architecture"]: n for n in json.loads((run / "front.json").read_text(encoding="utf-8"))["networks"]}


def test_a_network_that_became_better_takes_the_place_of_the_old_one(bands, run):
    before = front_of(run)
    chosen = min(before.values(), key=lambda n: n["madds"])
    weights = (run / chosen["weights"]).read_bytes()
    said = command("finetune", run, "--architecture", chosen["architecture"], "--budget", "30s", "--data", bands)
    after = front_of(run)[chosen["architecture"]]
    assert f"{chosen['architecture']}: validation error {chosen['val_error_views']:.2f}% before" in said
    assert after["val_error_views"] < chosen["val_error_views"], "one epoch had left nothing to learn"
    kept = {name: chosen[name] for name in ("val_error", "val_error_views", "test_error")}
    assert after["before_finetuning"] == kept
    table = command("front", run)
    assert "val before  test before" in table
    assert f"{chosen['val_error']:.2f}%" in table
    assert after["test_images"] == chosen["test_images"]
    assert (run / after["weights"]).read_bytes() != weights
    card = json.loads((run / after["weights"]).with_suffix(".json").read_text(encoding="utf-8"))
    assert (card["val_error"], card["test_error"]) == (after["val_error"], after["test_error"])
    others = [name for name in before if name != chosen["architecture"]]
    assert all(front_of(run)[name] == before[name] for name in others)


def test_a_network_that_did_not_is_left_as_it_was(bands, run, monkeypatch):
    import naturalize
    from naturalize import finetuning

    monkeypatch.setattr(finetuning, "RATE", 0.0)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.suffix in (".safetensors", ".json")}
    told = []
    naturalize.finetune(run, budget="30s", data=str(bands), listeners=[told.append])
    (event,) = (event for event in told if event["event"] == "finetuned")
    assert not event["kept"]
    assert {path: path.read_bytes() for path in before} == before


def test_killed_while_the_new_network_is_tested_the_old_one_is_still_there(bands, run):
    import naturalize

    def killed(event):
        if event["event"] == "phase" and event["phase"] == "final":
            raise SystemExit

    named = {path: path.read_bytes() for path in run.glob("networks/*")}
    before = front_of(run)
    smallest = min(before, key=lambda text: before[text]["madds"])
    for listeners in ([killed], ()):
        options = {"architectures": [smallest], "budget": "30s", "data": str(bands), "listeners": listeners}
        if listeners:
            with pytest.raises(SystemExit):
                naturalize.finetune(run, **options)
            assert front_of(run) == before
            assert {path: path.read_bytes() for path in named} == named
            assert len(list(run.glob("networks/*"))) == len(named) + 2, "the new one lies beside them"
        else:
            naturalize.finetune(run, **options)
    after = front_of(run)
    assert after[smallest]["before_finetuning"]["val_error"] == before[smallest]["val_error"]
    assert {path.stem for path in run.glob("networks/*")} == {pathlib.Path(n["weights"]).stem for n in after.values()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--require", "madds<1"], "no network of the front meets"),
        (["--architecture", "123"], "no architecture of mini"),
        (["--budget", "soon"], "budget"),
    ],
)
def test_bad_options_are_one_line(run, options, words):
    assert words in command("finetune", run, *options, code=2)


def test_a_run_that_is_not_finished(bands, tmp_path):
    run = tmp_path / "run"
    command("transfer", bands, *SMALL, "--out", run, signals="adapt:3:SIGTERM", code=143)
    assert "is not finished" in command("finetune", run, code=2)
