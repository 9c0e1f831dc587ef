"""A folder whose pictures have no classes: taken where it is asked for, an error elsewhere."""

import pytest
from PIL import Image

from naturalize.data import open_data
from naturalize.errors import UserError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "loose"
    (root / "deeper").mkdir(parents=True)
    for number in range(12):
        where = root / "deeper" if number % 3 == 0 else root
        Image.new("RGB", (20, 30), (20 * number, 7, 0)).save(where / f"{number}.png")
    (root / "notes.txt").write_text("no picture")
    return root


def test_pictures_at_any_depth_are_taken_and_a_part_validates(folder):
    dataset = open_data(folder, without_classes=True)
    assert dataset.class_names == ()
    assert {split: len(rows) for split, rows in dataset.splits.items()} == {"train": 10, "val": 2, "test": 0}
    assert sorted(dataset.paths)[:2] == ["1.png", "10.png"]
    assert "deeper/0.png" in dataset.paths
    assert dataset.labels.tolist() == [0] * 12
    assert dataset.counts() == {"train": {}, "val": {}, "test": {}}
    assert dataset.summary()[0] == "loose: no classes, colour pictures, short side 20 px (median)"
    assert dataset.summary()[1] == "train 10, val 2, test 0, cut from 12 pictures"
    assert any("notes.txt" in note.message for note in dataset.notes)


def test_the_cut_is_repeatable_and_depends_on_the_seed(folder):
    cuts = [open_data(folder, without_classes=True, seed=seed).splits["val"].tolist() for seed in (0, 0, 1, 2, 3)]
    assert cuts[0] == cuts[1]
    assert any(cut != cuts[0] for cut in cuts[2:])


def test_class_folders_are_classes_all_the_same(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (9, 9), 50 * number + ord(name)).save(tmp_path / name / f"{number}.png")
    assert open_data(tmp_path, without_classes=True).class_names == ("a", "b")


def test_unless_asked_for_they_are_refused(folder):
    with pytest.raises(UserError, match=r"no class folders|one class only"):
        open_data(folder)


def test_an_empty_folder_is_refused_in_any_case(tmp_path):
    with pytest.raises(UserError, match="holds no class folders with pictures"):
        open_data(tmp_path, without_classes=True)
