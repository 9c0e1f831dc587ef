"""Studies of ways to adapt and to train: each runs to its end on real pictures, and is what it is said to be."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

import runs
from naturalize.errors import UserError
from naturalize.last_adaptation import with_validation
from naturalize.lifecycle import work
from naturalize.options import make_settings
from naturalize.run import Run
from naturalize.search import hypervolume
from naturalize.study import adaptation, training
from naturalize.study.studies import sets_of, study_adaptation, study_training
from naturalize.study.study import Findings, Row
from naturalize.study.training import Mirroring, common_supernet, plain_transfer, plainly
from naturalize.study.ways import comparable, outcome
from naturalize.workbench import Workbench

SHORT = "4s"  # below what a command takes: these pictures are tiny
NUMBERS = ("hypervolume", "best_error", "networks", "measured", "used_s", "reference_error", "reference_madds")


@pytest.fixture(scope="module")
def short() -> object:
    """Budgets below the least one that a command takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("naturalize.run.settings.MINIMUM_BUDGET_S", 1.0)
        patch.setattr("naturalize.joint.asked.MINIMUM_BUDGET_S", 1.0)
        yield


@pytest.fixture(scope="module")
def trained(short: object, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """The study of training on two data sets."""
    root = tmp_path_factory.mktemp("training")
    sets = [f"three={bands}", f"two={runs.grey_pictures(root / 'two', 30, 'pq')}"]
    return study_training(sets, root / "study", budget=SHORT, supernet="mini", seeds=1)


def assert_whole(found: Findings, ways: dict[str, str]) -> None:
    """Every row has numbers that can be, and the page a line for each way."""
    for row in found.rows:
        assert all(np.isfinite(row[name]) for name in NUMBERS)
        assert 0 <= row["hypervolume"] < 1  # nothing is learnt from nothing in so short a time
        assert row["measured"] >= row["networks"] >= 1
    page = found.page.read_text(encoding="utf-8")
    assert all(f"{way}: {told}" in page.replace("&#x27;", "'") for way, told in ways.items())


@pytest.mark.slow
def test_every_way_to_adapt_runs_to_its_end(short: object, bands: Path, tmp_path: Path) -> None:
    found = study_adaptation([bands], tmp_path / "study", budget=SHORT, supernet="mini", seeds=1)
    assert [row["way"] for row in found.rows] == list(adaptation.WAYS)
    assert_whole(found, adaptation.WAYS)
    assert len({row["reference_madds"] for row in found.rows}) == 1
    of = {row["way"]: row for row in found.rows}
    resolutions = Run(tmp_path / "study" / "runs" / f"bands-{SHORT}-one-network-0").trained
    assert of["one-network"]["measured"] == len(resolutions) > 1
    assert of["front-alone"]["measured"] > of["subnets"]["measured"]
    assert found.conclusion.startswith(f"On {bands}, with {SHORT}, ")


@pytest.mark.slow
def test_every_way_to_train_runs_to_its_end_and_a_joint_one_has_a_row_for_each_set(trained: Findings) -> None:
    assert_whole(trained, training.SEVERAL)
    of = {(row["data"], row["way"]) for row in trained.rows}
    assert of == {(name, way) for name in ("three", "two") for way in training.SEVERAL}
    assert len(trained.rows) == len(of)
    joint = trained.page.parent / "runs" / f"three+two-{SHORT}-joint-0"
    for row in trained.rows:
        if row["way"] == "joint":
            with closing(Run(joint / row["data"]).archive()) as archive:
                assert row["hypervolume"] == archive.iterations()[-1]["hypervolume"]
            assert Run(joint / row["data"]).settings.budget_s == float(SHORT[:-1])


@pytest.mark.slow
def test_from_nothing_is_from_nothing(trained: Findings) -> None:
    ways = ("scratch", "nat", "plain")
    weights = [Run(trained.page.parent / "runs" / f"three-{SHORT}-{way}-0").settings.weights for way in ways]
    assert weights[0] is None
    assert None not in weights[1:]


@pytest.fixture(scope="module")
def plain(short: object, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Workbench]:
    """A small run that trained plainly, and its workbench."""
    benches = []

    def do(bench: Workbench) -> None:
        benches.append(plainly(bench))
        plain_transfer(bench)

    settings = make_settings(str(bands), SHORT, None, None, supernet="mini")
    return work(str(bands), tmp_path_factory.mktemp("plain") / "run", settings, (), None, do=do), benches[0]


def test_a_plain_rate_is_half_of_the_cosines_first_in_all_trainings(plain: tuple[Run, Workbench]) -> None:
    path = plain[0].directory / "events.jsonl"
    events = [event for event in map(json.loads, path.read_text().splitlines()) if event["event"] == "epoch"]
    assert {event["phase"] for event in events} >= {"prepare", "last"}
    assert {event["rate"] for event in events} == {0.01}


def test_plain_pictures_are_the_stored_ones_or_mirrored(plain: tuple[Run, Workbench]) -> None:
    images, normalize = plain[1].trainer.images, plain[1].supernet.normalize
    rows = np.arange(40)
    stored = normalize(torch.from_numpy(images.pixels(rows, 8)))
    for trainer in (plain[1].trainer, with_validation(plain[1]).trainer):
        found = torch.cat([trainer.images(rows, 8, step, normalize)[0] for step in range(3)])
        torch.testing.assert_close(
            found, stored.repeat(3, 1, 1, 1)
        )  # classes called by single characters, so none is mirrored


@pytest.mark.parametrize("flip", [True, False])
def test_plain_augmentation_mirrors_at_most(flip: bool) -> None:
    images = torch.randn(40, 3, 9, 9)
    found = Mirroring(flip)(images, seed=1)
    same = (found == images).flatten(1).all(dim=1)
    mirrored = (found == images.flip(-1)).flatten(1).all(dim=1)
    assert bool((same | mirrored).all())
    assert bool(mirrored.any()) == flip
    assert bool(same.any())
    masks = images[:, 0].abs().mul(10).long().repeat_interleave(2, 1).repeat_interleave(2, 2)
    moved, labels = Mirroring(flip).with_masks(images, masks, seed=1)
    torch.testing.assert_close(moved, found)
    torch.testing.assert_close(labels, moved[:, 0].abs().mul(10).long())


def test_hypervolumes_are_compared_by_one_reference(rng: np.random.Generator) -> None:
    rows: list[Row] = []
    for reference in (3e6, 7e6, 4e6):
        front = np.stack([rng.uniform(5, 95, 9), rng.uniform(0, reference, 9)], axis=1)
        row = {"data": "a", "reference_error": 90.0, "reference_madds": reference, "best_error": front[:, 0].min()}
        rows.append({**row, "hypervolume": hypervolume(front, [90.0, reference]), "front": front})
    for row in comparable([*rows, {**rows[0], "data": "b", "reference_madds": 9e9}])[:3]:
        assert row["hypervolume"] == pytest.approx(hypervolume(row["front"], [90.0, 7e6]))


def test_a_run_without_time_is_told_in_a_line(plain: tuple[Run, Workbench], tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes((plain[0].directory / "run.toml").read_bytes())
    run = Run(tmp_path)
    run.archive(read_only=False).close()
    with pytest.raises(UserError, match="had no time to measure a network: give a longer --budget"):
        outcome(run)


def test_all_runs_have_the_supernet_of_the_largest_pictures(bands: Path) -> None:
    assert common_supernet({"a": "clothing", "b": str(bands)}, None) == "efficientnet-lite0"
    assert common_supernet({"a": "clothing", "b": str(bands)}, "mini") == "mini"
    assert common_supernet({"a": "clothing"}, None) is None


def test_two_data_sets_of_one_name_are_refused() -> None:
    assert sets_of(["my photos/"]) == {"my photos/": "my photos/"}
    with pytest.raises(UserError, match="two data sets are called photos"):
        sets_of(["a/photos", "b/photos"])
