"""One search over several data sets: real runs of the command, killed with real signals, and the rules of its front."""

import itertools
import json
import re
import shutil
import signal
from contextlib import closing
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import naturalize
import runs
from naturalize import api
from naturalize.errors import UserError
from naturalize.joint.asked import (
    check_share,
    joint_settings,
    named_sets,
    objectives_of,
    parse_joint_objectives,
    settings_of,
)
from naturalize.joint.front import Plane, joint_rows, mean_hypervolume, ranks, read_joint_front, trade_off
from naturalize.joint.lifecycle import sources_of
from naturalize.joint.live import watch_joint_report
from naturalize.joint.run import JointRun, is_joint
from naturalize.joint.turns import Turns
from naturalize.objectives import plain_error
from naturalize.predicting import open_model, predict_with
from naturalize.report import live
from naturalize.report.exchange import exchanged
from naturalize.report.insides import Insides
from naturalize.run import Watch, networks_of, read_front
from naturalize.run.lock import locked
from naturalize.search import non_dominated
from runs import assert_same, command, left_by, refreshes, waited

SMALL = ["--iterations", "2", "--epochs", "2", "--seed", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """Two data sets: three classes, and two others."""
    root = tmp_path_factory.mktemp("data")
    return {"a": runs.grey_pictures(root / "three", 20, "abc"), "b": runs.grey_pictures(root / "two", 24, "pq")}


def transfer(data: dict[str, Path], out: Path, *more: object) -> tuple[object, ...]:
    """The arguments of a small joint transfer."""
    return ("transfer", *(f"{name}={path}" for name, path in data.items()), *SMALL, "--out", out, *more)


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory) -> Path:
    """A finished joint run that was never interrupted."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    command(*transfer(data, run), signals="")
    return run


def left_jointly(run: Path) -> dict[str, object]:
    """All that two joint runs of the same seed must have in common, to the bit."""
    found: dict[str, object] = {"front": json.loads((run / "front.json").read_text(encoding="utf-8"))}
    found["members"] = runs.rows(run, "SELECT iteration, place, architecture FROM members ORDER BY iteration, place")
    for name in ("a", "b"):
        found |= {f"{name} {key}": value for key, value in left_by(run / name).items()}
    return found


# the run -------------------------------------------------------------------------------------------------------------


def test_a_network_is_an_architecture_with_weights_for_every_data_set(unbroken, data, tmp_path):
    run = JointRun(unbroken)
    front = run.front()
    assert front["objectives"] == ["error@a", "error@b", "madds"]
    fronts = {name: read_front(unbroken / name) for name in run.sets}
    for network in front["networks"]:
        for name, own in network["sets"].items():
            entry = next(e for e in fronts[name]["networks"] if e["architecture"] == network["architecture"])
            assert own["test_error"] == entry["test_error"] is not None
            assert network["objectives"][f"error@{name}"] == entry["val_error_views"]
            assert own["weights"] == f"{name}/{entry['weights']}"
            assert (unbroken / own["weights"]).exists()
    # every network is exported for either set, also where it is dominated by itself, and answers that set's classes
    text = front["networks"][0]["architecture"]
    for name, classes in (("a", list("abc")), ("b", list("pq"))):
        file = tmp_path / f"{name}.onnx"
        api.export(unbroken / name, file, architecture=text)
        rows = list(predict_with(open_model(file, ()), [str(data[name])], lambda other: None, 0.0))
        truth = [Path(row.path).parent.name for row in rows]
        assert {row.name for row in rows} <= set(classes)
        assert np.mean([row.name == right for row, right in zip(rows, truth, strict=True)]) > 0.5


def test_no_network_of_the_front_is_better_than_another_by_all_objectives(unbroken):
    front = read_joint_front(unbroken)
    values = np.array([list(network["objectives"].values()) for network in front["networks"]])
    with closing(JointRun(unbroken).archive()) as archive:
        last = archive.iterations()[-1]
        members = {str(arch) for arch in archive.members(last["iteration"])}
    assert {network["architecture"] for network in front["networks"]} <= members
    assert non_dominated(values).all()


def test_members_are_the_same_for_all_and_weights_are_not(unbroken):
    query = "SELECT members.iteration, place, text FROM members JOIN architectures ON id = architecture ORDER BY 1, 2"
    shared = runs.rows(unbroken, query)
    assert len({iteration for iteration, _, _ in shared}) == 3
    for name in "ab":
        assert runs.rows(unbroken / name, query) == shared
        tasks = runs.rows(unbroken / name, "SELECT DISTINCT task FROM measurements")
        assert tasks == [(name,)]
        assert list(JointRun(unbroken).run(name).trained_supernet().heads) == [name]
    ours, theirs = (JointRun(unbroken).run(name).trained_supernet().state_dict() for name in "ab")
    common = [key for key in ours if key in theirs and ours[key].shape == theirs[key].shape and "weight" in key]
    assert any((ours[key] != theirs[key]).any() for key in common)


def test_a_data_sets_own_front_has_what_is_not_dominated_there(unbroken):
    for name in "ab":
        front = read_front(unbroken / name)
        networks = networks_of(front)
        values = np.array([[network.val_error_views, network.madds] for network in networks])
        assert len(networks) < len(front["networks"]) or non_dominated(values).all()
        assert {n["architecture"] for n in front["networks"]} >= {
            n["architecture"] for n in read_joint_front(unbroken)["networks"]
        }


def test_killed_again_and_again_a_joint_run_ends_as_an_unbroken_one(data, unbroken, tmp_path):
    run = tmp_path / "run"
    points = ["a: prepare:1", "b: measure:3", "predictor:1", "a: adapt:3", "a: test:1", "finished:1"]
    for number, point in enumerate(points):
        arguments = ("resume", run) if number else transfer(data, run)
        command(*arguments, signals=f"{point}:SIGKILL", code=-signal.SIGKILL)
    command("resume", run)
    assert_same(left_jointly(unbroken), left_jointly(run))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_stopped_joint_run_is_ended_as_it_is(data, tmp_path):
    run = tmp_path / "run"
    said = command(*transfer(data, run), signals="a: adapt:3:SIGTERM", code=128 + signal.SIGTERM)
    assert "the state is saved" in said
    with pytest.raises(UserError, match="is not finished yet"):
        read_joint_front(run)
    assert read_front(run / "a")["state"] == "stopped"
    command("finish", run)
    front = read_joint_front(run)
    assert all(own["test_error"] is not None for network in front["networks"] for own in network["sets"].values())


def test_the_same_command_again_says_that_it_is_finished(data, unbroken):
    before = (unbroken / "front.json").read_bytes()
    assert "finished already" in command(*transfer(data, unbroken))
    assert (unbroken / "front.json").read_bytes() == before


def test_front_and_report_name_the_trade_off(unbroken, tmp_path):
    said = command("front", unbroken)
    front = read_joint_front(unbroken)
    assert all(network["architecture"] in said for network in front["networks"])
    cheapest = front["networks"][0]
    one = command("front", unbroken, "--at", f"madds={cheapest['madds']}")
    assert f"{cheapest['architecture']}, the trade-off" in one
    listed = json.loads(command("front", unbroken, "--json"))
    assert listed["networks"] == front["networks"]
    command("report", unbroken)
    page = (unbroken / "report.html").read_text(encoding="utf-8")
    assert page.count("<polyline") == len(front["networks"])
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_dry_run_plans_what_each_data_set_does_then_and_leaves_nothing(unbroken, data, tmp_path):
    said = command(*transfer(data, tmp_path / "runs" / "x", "--dry-run"))
    assert not (tmp_path / "runs").exists()
    with closing(JointRun(unbroken).archive()) as archive:
        measured = [facts["measured"] for facts in archive.iterations()]
    assert "mini with its published weights, minimise error@a, error@b, madds, 2 iterations of 2 epochs, seed 1" in said
    for part, classes in zip(re.split(r"^[ab]:$", said, flags=re.MULTILINE)[1:], ("a, b, c", "p, q"), strict=True):
        assert f"classes ({classes})" in part
        rows = [line for line in part.splitlines() if re.match(r"(iteration|measure, select)", line)]
        found = [re.search(r"  (?:(\d+) x )?(\d+)  ", row) for row in rows]
        assert [int(one[2]) for one in found for _ in range(int(one[1] or 1))] == measured
    assert said.splitlines()[-1].endswith(
        "x: run.toml, archive.sqlite, events.jsonl, front.json, report.html, and runs in a/, b/"
    )
    assert "lies in the data" in command(*transfer(data, data["a"] / "x", "--dry-run"), code=2)
    assert "is a run already" in command(*transfer(data, unbroken, "--dry-run"), code=2)


def test_each_data_set_has_a_page_while_a_joint_run_goes_on(unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "LOOK_S", 0.3)
    run, told, written = tmp_path / "run", list[str](), list[Path]()
    shutil.copytree(unbroken, run)
    pages = [run / name / "report.html" for name in "ab"]
    with locked(run):
        watcher = Thread(target=lambda: written.append(watch_joint_report(run, lambda: None, told.append)))
        watcher.start()
        waited(lambda: len(told) > 1)
        assert all(refreshes(page.parent) for page in pages)
    watcher.join(60)
    assert written == [run / "report.html"]
    assert not any(refreshes(page.parent) for page in pages)
    assert [line[:3] for line in told] == ["a: ", "b: "]
    for file in (run / "front.json", run / "a" / "front.json"):  # as after a kill
        file.unlink()
    with pytest.raises(UserError, match="is not finished yet: go on with"):
        watch_joint_report(run, lambda: None, told.append)
    assert "This run was stopped before its end." in pages[0].read_text(encoding="utf-8")
    assert "leave one out" in command("report", run, "--watch", "--at", "madds=1M", code=2)


def test_what_the_network_of_one_loses_on_another_is_what_its_archive_has_measured(unbroken):
    """Figure 10. All validation pictures are kept in so small a run, and every member was measured on both."""
    insides = [Insides(unbroken / name) for name in "ab"]
    archs = [insides[0].run.front()[0], insides[1].run.front()[-1]]
    archs = [of.archs([network.architecture])[0] for of, network in zip(insides, archs, strict=True)]
    found = exchanged(insides, archs)
    for column, of in enumerate(insides):
        with closing(of.run.archive()) as archive:
            version = archive.iterations()[-1]["weights_version"]
            known = archive.measurements(of.run.context("error", version))
        assert len(of.run.stored("check")) == known[archs[0]].detail["images"]
        expected = [plain_error(known[arch].value, known[arch].detail) for arch in archs]
        assert found[:, column] == pytest.approx(expected)
    command("report", unbroken / "a", unbroken / "b", "--at", "madds=2M")
    page = (unbroken / "a" / "comparison.html").read_text(encoding="utf-8")
    assert 'id="exchange"' in page


def test_a_moved_data_set_is_found_again(data, unbroken, tmp_path):
    run, moved = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(unbroken, run)
    shutil.copytree(data["b"], moved)
    said = command("resume", run, "--iterations", 2, "--data", f"a={data['a']}", "--data", f"b={moved}")
    assert "finished already" in said
    assert "has done 2 iterations already" in command("resume", run, "--iterations", 1, code=2)


def test_what_is_part_of_a_joint_run_says_so(unbroken):
    assert is_joint(unbroken)
    assert not is_joint(unbroken / "a")
    for call in (naturalize.resume, naturalize.finish):
        with pytest.raises(UserError, match="is part of a joint run: give that one"):
            call(unbroken / "a", listeners=())
    with pytest.raises(UserError, match="is of 2 data sets, and this takes one: each has a run"):
        naturalize.open_run(unbroken)
    with pytest.raises(UserError, match="is of 2 data sets"):
        naturalize.export(unbroken, unbroken / "x.onnx")


@pytest.mark.parametrize(
    "change",
    [["--seed", "2"], ["-o", "error", "-o", "params"], ["--require", "madds<9M"]],
    ids=["seed", "objectives", "limits"],
)
def test_another_command_on_the_run_is_refused(data, unbroken, change):
    said = command(*transfer(data, unbroken, *change), code=2)
    assert "is a run with other settings" in said


def test_limits_that_no_network_meets_together_are_told_before_anything_is_trained(data, tmp_path):
    said = command(*transfer(data, tmp_path / "run", "--require", "5M<madds<5.1M", "--require", "params<150K"), code=2)
    assert "no architecture was found that meets" in said
    assert not (tmp_path / "run").exists()


def test_a_limit_from_below_holds_by_the_largest_head(data, tmp_path):
    """The smallest head has fewer multiply-adds than the limit wants, and its run keeps the networks all the same."""
    run, more = tmp_path / "run", ("--require", "0.2M<madds<0.35M", "--require", "params<150K", "--iterations", 1)
    command(*transfer(data, run, *more))
    front = read_joint_front(run)
    assert all(2e5 < network["madds"] < 3.5e5 for network in front["networks"])
    assert all(own["weights"] for network in front["networks"] for own in network["sets"].values())


@pytest.mark.slow
def test_kinds_may_differ(data, tmp_path):
    """Masks need sides that bodies shrink without a rest, which small pictures alone would not have."""
    draw = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "l").mkdir()
    lines = ["path,top,left"]
    for number in range(40):
        mask = np.zeros((32, 32), np.uint8)
        top, left = draw.integers(0, 2, 2)
        mask[16 - 16 * top :, 16 - 16 * left :][:16, :16] = 1
        picture = draw.integers(0, 60, (32, 32)).astype(np.uint8) + 150 * mask
        Image.fromarray(picture).save(tmp_path / "m" / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "m" / "masks" / f"{number}.png")
        Image.fromarray(picture).save(tmp_path / "l" / f"{number}.png")
        lines.append(f"{number}.png,{top},{left}")
    (tmp_path / "l" / "labels.csv").write_text("\n".join(lines))
    sets = {"a": data["a"], "m": tmp_path / "m", "l": tmp_path / "l" / "labels.csv"}
    run = tmp_path / "run"
    command(*transfer(sets, run, "--iterations", 1, "--epochs", 1))
    front = read_joint_front(run)
    assert [front["sets"][name]["kind"] for name in sets] == ["classification", "segmentation", "multi-label"]
    assert all(own["test_error"] is not None for network in front["networks"] for own in network["sets"].values())
    assert all(side % 8 == 0 for side in JointRun(run).facts["pixels"]["resolutions"])


@pytest.mark.parametrize("gone", ["b/front.json", "b/archive.sqlite"])
def test_what_is_gone_of_a_finished_run_is_told_or_made_again(unbroken, tmp_path, gone):
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    (run / gone).unlink()
    lost = gone.endswith("sqlite")
    said = command("resume", run, code=2 if lost else 0)
    assert "finished already" not in said
    if lost:
        assert "is gone or empty: put it back from a copy" in said
        return
    assert json.loads((run / "front.json").read_text())["networks"] == read_joint_front(unbroken)["networks"]
    assert (run / gone).exists()


def test_an_archive_that_is_gone_is_not_begun_anew(unbroken, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    (run / "archive.sqlite").unlink()
    assert "archive.sqlite is gone or empty: put it back from a copy" in command("resume", run, code=2)


def test_messages_name_the_joint_run_and_its_data_sets(unbroken, tmp_path):
    two = command("report", unbroken, unbroken, "--at", "madds=1M", code=2)
    assert "is of 2 data sets, and this takes one: each has a run" in two
    assert "unknown format" in command("front", unbroken, "--format", "xml", code=2)
    assert "the smallest, since none has 1 parameters or less" in command("front", unbroken, "--at", "params=1")
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    text = (run / "run.toml").read_text(encoding="utf-8")
    facts = JointRun(run).facts | {"sets": {"a": "../gone", "b": "../gone"}}
    JointRun.create(run, JointRun(run).settings, {name: facts[name] for name in ("sets", "pixels", "machine")})
    assert text != (run / "run.toml").read_text(encoding="utf-8")
    said = command("resume", run, code=2)
    assert "the images of a are no longer at" in said
    assert "as --data a=photos/" in said
    with pytest.raises(UserError, match="by name, as a dictionary"):
        naturalize.resume(unbroken, data=(np.zeros(1), np.zeros(1)), listeners=())
    with pytest.raises(UserError, match="a dictionary of them by name"):
        naturalize.joint_transfer(["a", "b"], tmp_path / "other")


def test_a_finished_run_is_not_made_worse_by_a_smaller_budget():
    with pytest.raises(UserError, match="give at least --budget 60s"):
        check_share(50.0, 2)


def test_other_data_sets_on_the_run_are_refused(data, unbroken):
    said = command(*transfer({"a": data["a"], "c": data["b"]}, unbroken), code=2)
    assert "data sets (a, b there, a, c here)" in said


def test_a_data_set_that_is_called_as_its_name_is_not_looked_for_in_the_run(tmp_path):
    """The run of `digits` lies in a folder of that name, which is where a path would lead."""
    out = tmp_path / "run"
    (out / "digits").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    settings = joint_settings({"digits": "digits", "b": "b"}, None, 1, 1, supernet="mini")
    facts = {"sets": {"digits": "digits", "b": "../b"}, "pixels": {}, "machine": {}}
    run = JointRun.create(out, settings, facts)
    found = sources_of(run, {})
    assert found["digits"] == "digits"
    assert Path(found["b"]).resolve() == tmp_path / "b"
    assert settings_of(settings, out, ["published", "b"], "published").weights == "published"


# what is asked ---------------------------------------------------------------------------------------------------


def test_data_sets_are_named():
    assert named_sets(["a=photos/", "b=x/y.parquet", "flowers102"]) == {
        "a": "photos/",
        "b": "x/y.parquet",
        "flowers102": "flowers102",
    }
    assert named_sets(["one/birds.parquet", "two/cats/"]) == {"birds": "one/birds.parquet", "cats": "two/cats/"}
    for wrong, told in (
        (["a=x", "a=y"], "two data sets are called a"),
        (["=x", "b=y"], "names no data set"),
        (["a.b=x", "c=y"], "names no data set"),
        (["networks=x", "b=y"], "names no data set"),
        (["lock=x", "b=y"], "names no data set"),
        (["a=", "b=y"], "names no data set"),
    ):
        with pytest.raises(UserError, match=told):
            named_sets(wrong)


def test_objectives_are_errors_of_a_data_set_and_counts():
    assert parse_joint_objectives([], ["a", "b"]) == ("error@a", "error@b", "madds")
    assert parse_joint_objectives(["error@b", "params", "balanced-error@a"], ["a", "b"]) == (
        "error@b",
        "params",
        "balanced-error@a",
    )
    assert objectives_of("a", ("error@b", "params", "balanced-error@a")) == ["balanced-error", "params"]
    eleven = [f"s{number}" for number in range(11)]
    assert len(parse_joint_objectives([], eleven)) == 12
    for wrong, told in (
        (["error@c", "madds"], "data set"),
        (["error@", "madds"], "data set"),
        (["error@a", "madds"], "no objective is an error of b"),
        (["error", "madds@a"], "whatever the data set is"),
        (["error", "latency:cpu"], "is measured in a run of one data set"),
        (["error", "error@a", "madds"], "given twice"),
        (["errors", "madds"], "errors"),
    ):
        with pytest.raises(UserError, match=told):
            parse_joint_objectives(wrong, ["a", "b"])
    with pytest.raises(UserError, match="15 objectives at most, not 16"):
        parse_joint_objectives([], [f"s{number}" for number in range(15)])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"budget": "50s"}, "at least --budget 60s"),
        ({"objectives": ["error"]}, "add one, as -o madds"),
        ({"require": "latency:cpu<5ms"}, "limits are on counts"),
        ({"require": ["error@a<5"]}, "limits are on counts"),
        ({"classes": ["x"]}, "leave it out"),
        ({"recipe": "nat-imagenet"}, "take nat for several"),
        ({"budget": "2m", "iterations": 1}, "not both"),
    ],
)
def test_options_that_make_no_sense(options, told):
    given = {"budget": None, "iterations": None, "epochs": None} | options
    with pytest.raises(UserError, match=told):
        joint_settings({"a": "x", "b": "y"}, **given)


def test_one_data_set_is_no_joint_run():
    with pytest.raises(UserError, match="of two data sets or more"):
        joint_settings({"a": "x"}, None, None, None)
    with pytest.raises(UserError, match="cannot be called"):
        joint_settings({"a/b": "x", "c": "y"}, None, None, None)


def test_a_fault_of_one_data_set_names_it_and_leaves_nothing_behind(data, tmp_path):
    said = command("transfer", f"a={data['a']}", f"b={tmp_path / 'gone'}", *SMALL, "--out", tmp_path / "run", code=2)
    assert "naturalize: b: " in said
    assert "gone" in said
    assert not (tmp_path / "run").exists()
    said = command(*transfer(data, tmp_path / "run", "--require", "madds<1"), code=2)
    assert "naturalize: a: " in said
    assert not (tmp_path / "run").exists()


# rules ---------------------------------------------------------------------------------------------------------------


def test_the_front_is_thinned_to_what_every_data_set_needs():
    """Beside every choice of as many networks: the one by gains has nearly the best mean hypervolume."""
    draw = np.random.default_rng(0)
    values = draw.random((9, 3)) * [50, 50, 10]
    planes = [Plane((column, 2), (50.0, 10.0)) for column in (0, 1)]
    front = np.flatnonzero(non_dominated(values)).tolist()
    assert sorted(joint_rows(planes, values, most=9)) == front
    for most in (1, 2, 4):
        taken = joint_rows(planes, values, most=most)
        best = max(mean_hypervolume(planes, values[list(some)]) for some in itertools.combinations(front, most))
        assert len(taken) == most
        assert set(taken) <= set(front)
        assert mean_hypervolume(planes, values[taken]) >= 0.97 * best


def test_equal_networks_are_taken_once():
    values = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    planes = [Plane((0, 2), (9.0, 9.0)), Plane((1, 2), (9.0, 9.0))]
    assert len(joint_rows(planes, values)) == 2


def test_the_trade_off_has_the_lowest_mean_rank_at_its_cost():
    errors = np.array([[9.0, 9.0], [4.0, 1.0], [1.0, 4.0], [2.0, 2.0], [0.0, 0.0]])
    costs = np.array([1.0, 3.0, 3.0, 2.0, 9.0])
    assert ranks(errors)[:, 0].tolist() == [5, 4, 2, 3, 1]
    # up to 3: ranks by the two errors are (4, 4), (3, 1), (1, 3), (2, 2): three have 2 in the mean, one is cheapest
    assert trade_off(errors, costs, 3.0) == 3
    assert trade_off(errors, costs, 9.0) == 4
    assert trade_off(errors, costs, 0.1) == 0


class Kept:
    """A store of seconds."""

    def __init__(self, used_s: float) -> None:
        self.used_s = used_s


def test_clocks_of_data_sets_add_up_to_that_of_the_run(monkeypatch, tmp_path):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = Watch([], 90.0)  # ten seconds before anyone had a turn
    turns = Turns(watch, ["a", "b"])
    a, b = turns.of.values()
    watch.attach(tmp_path / "events", Kept(5.0))
    a.attach(tmp_path / "a", Kept(4.0))
    b.attach(tmp_path / "b", Kept(1.0))
    turns.share_out()
    assert (a.used_s, b.used_s) == (9.0, 6.0)
    with a.taken():
        now[0] += 6.0
        assert (a.used_s, b.used_s) == (15.0, 6.0)
    now[0] += 4.0  # of nobody, so of all
    turns.share_out()
    assert (a.used_s, b.used_s) == (17.0, 8.0)
    assert a.used_s + b.used_s == watch.used_s
    turns.level()
    assert (a.used_s, b.used_s) == (12.5, 12.5)
    with b.taken():
        now[0] += 3.0
    assert (a.used_s, b.used_s, watch.used_s) == (12.5, 15.5, 28.0)
