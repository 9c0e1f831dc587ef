"""Fine-tuning: chosen networks trained on; none is replaced by a worse one."""

import json
import os
import pathlib
import shutil
import signal
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch

import naturalize
from naturalize.errors import Interrupted, UserError
from naturalize.finetuning import is_judged
from naturalize.numbers import percent
from naturalize.run import read_events
from naturalize.run.checkpoints import Checkpoints
from runs import SMALL, command

SHORT = "10s"  # enough for a network of `bands`; the command's own minimum is longer


@pytest.fixture(scope="module")
def finished(bands, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    command("transfer", bands, "--iterations", "1", "--epochs", "1", "--seed", "1", "--out", run)
    return run


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("naturalize.run.settings.MINIMUM_BUDGET_S", 10)
    monkeypatch.setattr("naturalize.schedule.NEW", 4)
    monkeypatch.setattr("naturalize.session.LONG_S", 0.0)  # as for trainings of the usual length
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
    assert percent(chosen["val_error"]) in table
    assert after["test_images"] == chosen["test_images"]
    assert (run / after["weights"]).read_bytes() != weights
    card = json.loads((run / after["weights"]).with_suffix(".json").read_text(encoding="utf-8"))
    assert (card["val_error"], card["test_error"]) == (after["val_error"], after["test_error"])
    left = front_of(run)
    for name in before.keys() - {chosen["architecture"]}:
        assert left.get(name, before[name]) == before[name]
        assert name in left or before[name]["val_error_views"] >= after["val_error_views"], "what is dominated by now"


def test_a_network_that_did_not_is_left_as_it_was(bands, run, monkeypatch):
    from naturalize import finetuning

    monkeypatch.setattr(finetuning, "RATE", 0.0)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.suffix in (".safetensors", ".json")}
    told = []
    naturalize.finetune(run, budget=SHORT, data=str(bands), listeners=[told.append])
    (event,) = (event for event in told if event["event"] == "finetuned")
    assert not event["kept"]
    assert {path: path.read_bytes() for path in before} == before


def test_killed_while_the_new_network_is_tested_the_old_one_is_still_there(bands, run):
    def killed(event):
        if event["event"] == "phase" and event["phase"] == "final":
            raise SystemExit

    named = {path: path.read_bytes() for path in run.glob("networks/*")}
    before = front_of(run)
    smallest = min(before, key=lambda text: before[text]["madds"])
    for listeners in ([killed], ()):
        options = {"architectures": [smallest], "budget": SHORT, "data": str(bands), "listeners": listeners}
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


def clock_of(run):
    with closing(naturalize.open_run(run).archive()) as archive:
        return archive.used_s


def stopped_at(run, bands, step, **options):
    """Fine-tuning that SIGTERM stops at a step."""
    told = []

    def listen(event):
        told.append(event)
        if event["event"] == "progress" and event["phase"] == "finetune" and event["done"] >= step:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        naturalize.finetune(run, data=str(bands), listeners=[listen], **options)
    return told


def test_C1_the_transfers_clock_stands_still(bands, run):
    before = clock_of(run)
    naturalize.finetune(run, budget=SHORT, data=str(bands), listeners=())
    assert clock_of(run) == before
    assert not (run / "finetuning").exists()


def test_C6_a_stopped_job_goes_on_where_it_was_and_ends_in_its_budget(bands, run):
    (smallest, largest) = sorted(front_of(run).values(), key=lambda n: n["madds"])[:: len(front_of(run)) - 1]
    options = {"architectures": [smallest["architecture"], largest["architecture"]], "budget": SHORT}
    stopped_at(run, bands, 500, **options)
    job = json.loads((run / "finetuning" / "job.json").read_text(encoding="utf-8"))
    assert job["done"] == []
    assert 0 < job["used_s"] < 10
    steps = [int(event["step"]) for event in read_events(run / "events.jsonl") if event["event"] == "epoch"]
    checkpoint = Checkpoints(run / "finetuning" / smallest["architecture"])
    trained = checkpoint.load(checkpoint.latest())[2]["training"]
    assert trained["step"] > 0
    assert steps
    before = time.monotonic()
    told = []
    naturalize.finetune(run, data=str(bands), listeners=[told.append], **options)
    assert job["used_s"] + time.monotonic() - before < 10 + 15
    assert [event["architecture"] for event in told if event["event"] == "finetuned"] == options["architectures"]
    assert not (run / "finetuning").exists()


def test_C6_what_was_delivered_before_a_stop_is_kept_and_not_trained_again(bands, run):
    (smallest, largest) = sorted(front_of(run).values(), key=lambda n: n["madds"])[:: len(front_of(run)) - 1]
    options = {"architectures": [smallest["architecture"], largest["architecture"]], "budget": SHORT}

    def stop_second(event):
        if event["event"] == "finetuned":
            delivered.append(event["architecture"])
        if delivered and event["event"] == "progress" and event["phase"] == "finetune" and event["done"] > 300:
            os.kill(os.getpid(), signal.SIGTERM)

    delivered = []
    with pytest.raises(Interrupted):
        naturalize.finetune(run, data=str(bands), listeners=[stop_second], **options)
    assert delivered == [smallest["architecture"]]
    half_way = front_of(run)[smallest["architecture"]]
    assert half_way["before_finetuning"]
    told = []
    naturalize.finetune(run, data=str(bands), listeners=[told.append], **options)
    assert [event["architecture"] for event in told if event["event"] == "finetuned"] == [largest["architecture"]]
    assert front_of(run)[smallest["architecture"]] == half_way


def test_C6_another_job_than_the_one_under_way_is_refused(bands, run):
    smallest = min(front_of(run).values(), key=lambda n: n["madds"])["architecture"]
    stopped_at(run, bands, 300, architectures=[smallest], budget=SHORT)
    with pytest.raises(UserError, match=f"the fine-tuning of {smallest} in 10s is under way"):
        naturalize.finetune(run, data=str(bands), budget="40s", architectures=[smallest], listeners=())


def test_C7_a_run_that_goes_on_keeps_what_was_finetuned(bands, run):
    smallest = min(front_of(run).values(), key=lambda n: n["madds"])["architecture"]
    naturalize.finetune(run, data=str(bands), budget=SHORT, architectures=[smallest], listeners=())
    tuned = front_of(run)[smallest]
    weights = (run / tuned["weights"]).read_bytes()
    naturalize.resume(run, iterations=2, data=str(bands), listeners=())
    after = front_of(run)[smallest]
    assert after == tuned
    assert (run / after["weights"]).read_bytes() == weights
    naturalize.open_run(run).network(smallest).load()


def test_C7_so_does_one_with_a_last_adaptation_which_no_error_can_judge(bands, run, monkeypatch):
    """Networks that learnt from the validation pictures: what was asked for stays, whatever their errors of before."""
    from naturalize import testing

    smallest = min(front_of(run).values(), key=lambda n: n["madds"])["architecture"]
    naturalize.finetune(run, data=str(bands), budget=SHORT, architectures=[smallest], listeners=())
    tuned = front_of(run)[smallest]
    monkeypatch.setattr(testing, "one_version", lambda front: False)
    worse = json.loads((run / "front.json").read_text(encoding="utf-8"))
    for network in worse["networks"]:
        if network["architecture"] == smallest:
            network["val_error_views"] = 99.0
    worse.pop("checksum")
    (run / "front.json").write_text(json.dumps(worse), encoding="utf-8")
    after = naturalize.resume(run, iterations=2, data=str(bands), listeners=())
    kept = front_of(run)[smallest]
    assert kept["weights"] == tuned["weights"]
    assert kept["val_error_views"] == 99.0
    assert (run / kept["weights"]).exists()
    notes = json.loads((run / "front.json").read_text(encoding="utf-8"))["notes"]
    assert "1 network that had been fine-tuned before stayed as it was" in notes
    after.network(smallest).load()


def test_C7_a_finished_result_stays_when_what_goes_on_is_stopped(bands, run):
    def stop(event):
        if event["event"] == "iteration" and event["iteration"] >= 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = {path: path.read_bytes() for path in [run / "front.json", *run.glob("networks/*")]}
    with pytest.raises(Interrupted):
        naturalize.resume(run, iterations=3, data=str(bands), listeners=[stop])
    assert {path: path.read_bytes() for path in before} == before
    assert naturalize.open_run(run).best().measured.test_error is not None
    naturalize.finish(run, data=str(bands), listeners=())
    assert (run / "front.json").read_bytes() != before[run / "front.json"]


def test_C1_ending_a_run_early_leaves_its_clock_as_it_is(bands, tmp_path):
    run = tmp_path / "run"
    command("transfer", bands, *SMALL, "--out", run, signals="adapt:3:SIGTERM", code=143)
    before = clock_of(run)
    naturalize.finish(run, data=str(bands), listeners=())
    assert clock_of(run) == before
    assert naturalize.open_run(run).best().measured.test_error is not None


def test_C6_a_job_that_was_all_delivered_goes_on_although_its_network_has_left_the_front(bands, run, monkeypatch):
    """Killed between its last front and its end: what `--require` chose then is not chosen again."""
    from naturalize import finetuning

    options = {"require": "params<100M", "budget": SHORT, "data": str(bands), "listeners": ()}
    with monkeypatch.context() as patch:
        patch.setattr(finetuning.Job, "forget", lambda job: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            naturalize.finetune(run, **options)
    job = json.loads((run / "finetuning" / "job.json").read_text(encoding="utf-8"))
    assert job["done"] == job["networks"]
    front = json.loads((run / "front.json").read_text(encoding="utf-8"))
    front["networks"] = [n for n in front["networks"] if n["architecture"] not in job["networks"]]
    front.pop("checksum")
    (run / "front.json").write_text(json.dumps(front), encoding="utf-8")
    told = []
    naturalize.finetune(run, **{**options, "listeners": [told.append]})
    assert not [event for event in told if event["event"] == "finetuned"]
    assert not (run / "finetuning").exists()


def test_X11_a_job_that_was_damaged_begins_anew(bands, run):
    smallest = min(front_of(run).values(), key=lambda n: n["madds"])["architecture"]
    stopped_at(run, bands, 300, architectures=[smallest], budget=SHORT)
    path = run / "finetuning" / "job.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"budget_s": 10.0', '"budget_s": 70.0'), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    naturalize.finetune(run, data=str(bands), architectures=[smallest], budget=SHORT, listeners=())
    assert not (run / "finetuning").exists()


@pytest.mark.parametrize("how_many", [1, 2])
def test_C19_the_front_is_one_after_finetuning(bands, run, how_many):
    """Also where two of those that were trained are now each other's rivals."""
    chosen = sorted(front_of(run), key=lambda text: front_of(run)[text]["madds"])[::-1][:how_many]
    naturalize.finetune(run, data=str(bands), budget=f"{10 * len(chosen)}s", architectures=chosen, listeners=())
    networks = list(front_of(run).values())
    assert networks
    for one in networks:
        for other in networks:
            assert other["madds"] >= one["madds"] or other["val_error_views"] > one["val_error_views"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: elsewhere everything is on one device")
def test_C2_a_network_is_finetuned_where_the_supernet_is(bands, run):
    naturalize.finetune(run, budget=SHORT, listeners=())
    assert naturalize.open_run(run).best().module()(torch.zeros(1, 1, 8, 8)).device.type == "cpu"


@pytest.mark.parametrize(
    ("origin", "budget_s", "adapted", "judged"),
    [
        ("transfer", 60.0, False, True),
        ("transfer", 60.0, True, False),
        ("published", 60.0, True, True),
        ("whole", None, False, True),
        ("whole", 60.0, False, False),
        ("whole", 60.0, True, False),
    ],
)
def test_validation_judges_no_network_that_has_learnt_from_it(origin, budget_s, adapted, judged):
    """Under a budget a last adaptation has, and so have the classifiers of the whole network by itself."""
    bench = SimpleNamespace(run=SimpleNamespace(settings=SimpleNamespace(budget_s=budget_s)))
    front = {"weights_version": 3 + adapted, "val_weights_version": 3}
    assert is_judged(bench, front, {"origin": origin}) == judged
