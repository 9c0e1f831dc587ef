from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from pictures import Fx
from PIL import Image

from naturalize.data import Dataset, open_data
from naturalize.data.machine import allowed_cpus, available_memory, in_threads
from naturalize.data.splits import cut
from naturalize.errors import Interrupted, UserError


def split_of(dataset: Dataset) -> dict[str, str]:
    return {dataset.paths[index]: split for split, rows in dataset.splits.items() for index in rows}


def texts(dataset: Dataset) -> str:
    return "\n".join(dataset.summary())


def test_D15_a_truncated_image_is_named_and_left_out(fx: Fx) -> None:
    photos = fx("photos", 10, "cat", "dog")
    whole = (photos / "cat" / "000.jpg").read_bytes()
    (photos / "cat" / "t.jpg").write_bytes(whole[:400])
    dataset = open_data(photos)
    assert "1 unreadable picture skipped: cat/t.jpg (damaged" in texts(dataset)
    assert "cat/t.jpg" not in dataset.paths
    assert len(dataset.labels) == 20
    with pytest.raises(UserError, match=r"cat/t\.jpg.*--strict"):
        open_data(photos, strict=True)


def test_D15_too_many_unreadable_pictures_stop(fx: Fx) -> None:
    photos = fx("photos", 10, "cat", "dog")
    for index in range(4):
        (photos / "cat" / f"00{index}.jpg").write_bytes(b"broken")
        assert index == 3 or len(open_data(photos).labels) == 19 - index
    with pytest.raises(UserError, match=r"4 of 20 pictures cannot be read.*cat/000\.jpg.* and 1 more"):
        open_data(photos)


def test_D16_empty_files_are_named_and_a_class_of_them_is_an_error(fx: Fx) -> None:
    photos = fx("photos", 3, "cat", "dog")
    (photos / "cat" / "z.jpg").touch()
    assert "cat/z.jpg (empty file)" in texts(open_data(photos))
    for path in (photos / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no readable picture left of cat"):
        open_data(photos)


def test_D16_a_val_split_that_loses_all_its_files_is_an_error(fx: Fx) -> None:
    fx("d/train", 8, "cat", "dog")
    root = fx("d/val", 1, "cat", "dog").parent
    for path in (root / "val").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"no readable picture left in val: .*val/cat/000\.jpg"):
        open_data(root)


def test_D30_every_class_with_two_images_is_in_train_and_val(fx: Fx) -> None:
    photos = fx("photos", 20, "cat", "dog")
    fx("photos", 1, "owl")
    fx("photos", 2, "emu")
    fx("photos", 3, "ant")
    dataset = open_data(photos)
    counts = dataset.counts()
    assert {split: counts[split]["owl"] for split in counts} == {"train": 1, "val": 0, "test": 0}
    assert {split: counts[split]["emu"] for split in counts} == {"train": 1, "val": 1, "test": 0}
    assert {split: counts[split]["ant"] for split in counts} == {"train": 1, "val": 1, "test": 1}
    assert {split: counts[split]["cat"] for split in counts} == {"train": 13, "val": 3, "test": 4}
    assert "owl: too few different images for val" in texts(dataset)
    assert [note.paths for note in dataset.notes if note.kind == "single-image class"] == [("owl",)]


def test_D30_without_a_picture_to_validate_on_it_stops(fx: Fx) -> None:
    with pytest.raises(UserError, match="no class has two different pictures"):
        open_data(fx("photos", 1, "cat", "dog"))


def test_D32_sizes_may_differ(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    for size in ((48, 64), (8, 8), (1, 1)):
        Image.new("RGB", size, "red").save(photos / "cat" / f"{size[0]}.png")
    dataset = open_data(photos)
    assert {dataset.picture(index).size for index in range(len(dataset.labels))} >= {(64, 48), (48, 64), (8, 8), (1, 1)}
    assert "1 picture smaller than 8 pixels: cat/1.png" in texts(dataset)


def test_D35_grey_sets_have_one_channel_and_one_colour_picture_makes_three(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    for path in photos.rglob("*.jpg"):
        Image.open(path).convert("L").save(path)
    dataset = open_data(photos)
    assert dataset.channels == 1
    assert dataset.picture(0).mode == "L"
    assert "grey pictures" in texts(dataset)
    Image.new("RGB", (9, 9), "red").save(photos / "cat" / "red.png")
    dataset = open_data(photos)
    assert dataset.channels == 3
    assert {dataset.picture(index).mode for index in range(9)} == {"RGB"}
    assert dataset.pixels(0).shape == (48, 64, 3)


def test_D36_copies_stay_on_one_side_and_conflicting_labels_are_named(fx: Fx) -> None:
    photos = fx("photos", 20, "cat", "dog")
    for index in range(5):
        (photos / "cat" / f"copy{index}.jpg").write_bytes((photos / "cat" / f"00{index}.jpg").read_bytes())
    (photos / "dog" / "also.jpg").write_bytes((photos / "cat" / "019.jpg").read_bytes())
    for seed in range(5):
        dataset = open_data(photos, seed=seed)
        side = split_of(dataset)
        for index in range(5):
            assert side[f"cat/copy{index}.jpg"] == side[f"cat/00{index}.jpg"]
        assert side["dog/also.jpg"] == side["cat/019.jpg"] == "train"
    assert "1 picture under two labels, kept in train: cat/019.jpg = dog/also.jpg" in texts(dataset)
    assert "6 pictures the same as another" in texts(dataset)


def test_D36_copies_across_given_splits_are_named(fx: Fx) -> None:
    fx("d/train", 8, "cat", "dog")
    root = fx("d/val", 3, "cat", "dog").parent
    dataset = open_data(root)
    assert "6 pictures of val also in another split" in texts(dataset)
    side = split_of(dataset)
    assert all(side[f"train/{name}/00{index}.jpg"] == "train" for name in ("cat", "dog") for index in range(3)), (
        "what val shows is not cut as test"
    )


def test_a_test_is_cut_from_train_where_val_alone_is_given(fx: Fx) -> None:
    fx("d/train", 10, "cat", "dog")
    root = fx("d/val", 4, "cat", "dog").parent
    for path in (root / "val").rglob("*.jpg"):
        Image.open(path).rotate(180).save(path)
    dataset = open_data(root)
    assert "train 20, val 8 as given; test 4 cut from train, which keeps 16" in texts(dataset)


@pytest.mark.parametrize("limit", [0, 5 * 64 * 48 * 3, 10**9])
def test_C04_pictures_beyond_the_memory_limit_are_decoded_again(fx: Fx, limit: int) -> None:
    photos = fx("photos", 6, "cat", "dog")
    dataset = open_data(photos, memory_limit=limit)
    held = [entry for entry in dataset.entries if entry.seen and entry.seen.pixels is not None]
    assert len(held) == min(12, limit // (64 * 48 * 3))
    assert ("are held and the others decoded when needed" in texts(dataset)) == (limit < 10**9)
    for index in range(12):
        assert np.array_equal(dataset.pixels(index), Image.open(photos / dataset.paths[index]))


def test_the_scan_reports_every_picture_and_can_be_stopped(fx: Fx) -> None:
    photos = fx("photos", 20, "cat", "dog")
    calls: list[tuple[str, int, int]] = []
    open_data(photos, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("scan", 40, 40)

    def stop(phase: str, done: int, total: int) -> None:
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        open_data(photos, progress=stop)


def test_a_picture_that_vanished_after_the_scan_is_named(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    dataset = open_data(photos, memory_limit=0)
    (photos / "cat" / "000.jpg").unlink()
    with pytest.raises(UserError, match=r"cat/000\.jpg cannot be read: no such file"):
        dataset.picture(0)


def test_the_fingerprint_tells_changes(fx: Fx) -> None:
    fx("d/train", 5, "cat", "dog")
    root = fx("d/test", 3, "cat", "dog").parent
    before = open_data(root).fingerprint
    assert open_data(root).fingerprint == before
    (root / "train" / "cat" / "000.jpg").rename(root / "train" / "cat" / "renamed.jpg")
    renamed = open_data(root).fingerprint
    (root / "train" / "cat" / "renamed.jpg").write_bytes((root / "train" / "cat" / "001.jpg").read_bytes())
    changed = open_data(root).fingerprint
    (root / "test" / "cat" / "000.jpg").write_bytes(b"of another size")
    assert len({before, renamed, changed, open_data(root).fingerprint}) == 4


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    copies=st.lists(st.integers(0, 60), max_size=12),
    seed=st.integers(0, 3),
    parts=st.sampled_from([(0.2,), (0.2, 0.16)]),
)
@settings(max_examples=60, deadline=None)
def test_cuts_are_disjoint_stratified_stable_and_keep_copies_together(
    sizes: list[int], copies: list[int], seed: int, parts: tuple[float, ...]
) -> None:
    labels = [str(kind) for kind, size in enumerate(sizes) for _ in range(size)]
    contents = [str(position) for position in range(len(labels))]
    for first, second in zip(copies[::2], copies[1::2], strict=False):
        contents[first % len(labels)] = contents[second % len(labels)]
    taken = cut(labels, contents, parts, seed)
    assert taken == cut(labels, contents, parts, seed)
    everything = [position for part in taken for position in part]
    assert len(everything) == len(set(everything))
    rest = set(range(len(labels))) - set(everything)
    sides: list[set[int]] = [*map(set, taken), rest]
    conflicting = set()
    for content in set(contents):
        group = {position for position, other in enumerate(contents) if other == content}
        assert any(group <= side for side in sides)
        if len({labels[position] for position in group}) > 1:
            conflicting.add(content)
            assert group <= rest
    for kind in set(labels):
        own = {position for position, label in enumerate(labels) if label == kind}
        cuttable = {contents[position] for position in own if contents[position] not in conflicting}
        assert own & rest
        assert sum(bool(own & side) for side in map(set, taken)) == min(len(parts), max(0, len(cuttable) - 1))
        assert len(cuttable) < 2 or own & set(taken[-1])


def test_shares_are_kept_in_large_classes() -> None:
    labels = ["a"] * 1000 + ["b"] * 50
    test, val = cut(labels, [str(position) for position in range(1050)], (0.2, 0.16), 0)
    by_class: NDArray[np.int64] = np.array(
        [[sum(p < 1000 for p in part), sum(p >= 1000 for p in part)] for part in (test, val)]
    )
    assert by_class.tolist() == [[200, 10], [160, 8]]


def test_threads_keep_order_and_pass_errors_on() -> None:
    assert in_threads(list, 10, 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert in_threads(list, 0, 3) == []

    def fail(rows: range) -> None:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        in_threads(fail, 10, 3)


def test_the_machine_has_threads_and_memory() -> None:
    assert allowed_cpus() >= 1
    assert available_memory() > 10**7


def test_a_container_without_free_memory_gives_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text
    given_by = {"/sys/fs/cgroup/memory.max": "1000\n", "/sys/fs/cgroup/memory.current": "1200\n"}
    monkeypatch.setattr(Path, "read_text", lambda path, *rest: given_by.get(str(path)) or read(path, *rest))
    assert available_memory() == 0


def test_C4_N02_validation_of_one_class_is_refused_at_the_start(fx: Fx) -> None:
    photos = fx("photos", 20, "cat")
    fx("photos", 1, "owl")
    with pytest.raises(UserError, match="validation would hold pictures of one class only, cat"):
        open_data(photos)


def test_C4_N02_a_given_validation_of_one_class_is_refused(fx: Fx) -> None:
    photos = fx("photos/train", 6, "cat", "dog").parent
    fx("photos/val", 3, "cat")
    with pytest.raises(UserError, match="validation would hold pictures of one class only, cat"):
        open_data(photos)
