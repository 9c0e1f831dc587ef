import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import Fx, fx, picture
from PIL import Image

from naturalize.data import Dataset, list_images, open_data
from naturalize.errors import UserError


def texts(dataset: Dataset) -> str:
    return "\n".join(dataset.summary())


def names_in(dataset: Dataset, split: str) -> set[str]:
    return {dataset.paths[index] for index in dataset.splits[split]}


def test_D01_labels_are_matched_by_name(fx: Fx) -> None:
    fx("d/train", 20, "0", "90", "180", "270")
    dataset = open_data(fx("d/test", 8, "0", "90", "270").parent)
    assert dataset.class_names == ("0", "90", "180", "270")
    assert dataset.counts()["test"] == {"0": 8, "90": 8, "180": 0, "270": 8}
    for index in dataset.splits["test"]:
        assert dataset.class_names[dataset.labels[index]] == dataset.paths[index].split("/")[1]
    assert "180: 0 images in test" in texts(dataset)


def test_D01_a_class_that_train_does_not_have_is_refused(fx: Fx) -> None:
    fx("d/train", 3, "cat", "dog")
    with pytest.raises(UserError, match="test holds bird, which train does not"):
        open_data(fx("d/test", 2, "cat", "bird").parent)


def test_D03_an_empty_class_folder_is_named_and_left_out(fx: Fx) -> None:
    photos = fx("photos", 5, "cat", "dog")
    (photos / "bird").mkdir()
    dataset = open_data(photos)
    assert dataset.class_names == ("cat", "dog")
    assert "1 class without pictures left out: bird" in texts(dataset)
    assert open_data(photos, classes=["dog", "bird", "cat"]).class_names == ("dog", "bird", "cat")


@pytest.mark.parametrize("spelling", ["val", "valid", "validation", "dev", "Val"])
def test_D04_all_spellings_of_a_split_are_one(fx: Fx, spelling: str) -> None:
    fx("d/train", 20, "cat", "dog")
    dataset = open_data(fx(f"d/{spelling}", 8, "cat", "dog").parent)
    assert "train 40, val 16" in texts(dataset)
    assert dataset.counts()["val"] == {"cat": 8, "dog": 8}


def test_D04_an_unknown_sibling_and_two_spellings_are_errors(fx: Fx) -> None:
    fx("d/train", 3, "cat", "dog")
    fx("d/val", 3, "cat", "dog")
    holdout = fx("d/holdout", 3, "cat", "dog")
    with pytest.raises(UserError, match="and also holdout"):
        open_data(holdout.parent)
    holdout.rename(holdout.parent / "valid")
    with pytest.raises(UserError, match="both of which mean val"):
        open_data(holdout.parent)


def test_D04_a_class_called_train_beside_a_bus_is_a_class(fx: Fx) -> None:
    assert open_data(fx("d", 4, "train", "bus", "car")).class_names == ("bus", "car", "train")


def test_D05_splits_without_class_folders_stop(fx: Fx) -> None:
    parent = fx("d", 3, "train", "test")
    with pytest.raises(UserError, match="no class folders under train/"):
        open_data(parent)


def test_D06_a_given_test_is_not_opened_and_val_is_cut_from_train(fx: Fx) -> None:
    fx("d/train", 20, "cat", "dog")
    test = fx("d/test", 10, "cat", "dog")
    for path in (test / "cat").iterdir():
        path.write_bytes(b"not a picture, and nobody may notice")
    dataset = open_data(test.parent)
    assert all(name.startswith("train/") for split in ("train", "val") for name in names_in(dataset, split))
    assert dataset.given_test
    assert dataset.counts()["test"] == {"cat": 10, "dog": 10}
    assert dataset.counts()["val"] == {"cat": 3, "dog": 3}
    dataset.scan_test()
    assert dataset.counts()["test"] == {"cat": 0, "dog": 10}
    assert "10 unreadable pictures skipped" in texts(dataset)
    scanned = open_data(test.parent, scan_test=True)
    assert scanned.splits["test"].tolist() == dataset.splits["test"].tolist()
    assert scanned.fingerprint == dataset.fingerprint
    with pytest.raises(UserError, match=r"test/cat/000\.jpg.*--strict"):
        open_data(test.parent, scan_test=True, strict=True)


def test_D06_a_test_file_without_permission_does_not_matter(fx: Fx, monkeypatch: pytest.MonkeyPatch) -> None:
    fx("d/train", 5, "cat", "dog")
    root = fx("d/test", 5, "cat", "dog").parent
    opened: list[str] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(str(path)) or read(path))
    open_data(root)
    assert len(opened) == 10
    assert not [path for path in opened if "/test/" in path]


def test_D08_the_order_is_natural_and_names_keep_their_zeros(fx: Fx) -> None:
    dataset = open_data(fx("photos", 3, "1", "2", "10", "100", "007", "b", "a10", "a9"))
    assert dataset.class_names == ("1", "2", "007", "10", "100", "a9", "a10", "b")


def test_D09_a_class_list_fixes_the_order(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    dataset = open_data(photos, classes=["dog", "cat"])
    assert dataset.class_names == ("dog", "cat")
    assert dataset.class_names[dataset.labels[0]] == "cat" == dataset.paths[0].split("/")[0]
    assert names_in(dataset, "val") == names_in(open_data(photos), "val"), "the cut does not depend on the order"
    with pytest.raises(UserError, match="unknown class in --classes 'bird'"):
        open_data(photos, classes=["dog", "cat", "bird"])
    with pytest.raises(UserError, match="lacks dog"):
        open_data(photos, classes=["cat"])
    (photos / "owl").mkdir()
    for path in (photos / "dog").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="one class only, cat"):
        open_data(photos, classes=["cat", "dog", "owl"])


def test_D09_a_class_is_named_once(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    with pytest.raises(UserError, match="names cat twice"):
        open_data(photos, classes=["cat", "dog", "cat"])


def test_D10_hidden_folders_are_no_classes(fx: Fx) -> None:
    photos = fx("photos", 5, "cat", "dog")
    fx("photos", 2, ".ipynb_checkpoints", "__MACOSX")
    dataset = open_data(photos)
    assert dataset.class_names == ("cat", "dog")
    assert "2 items hidden or left by the system, ignored: .ipynb_checkpoints, __MACOSX" in texts(dataset)


def test_D11_what_systems_leave_among_images_is_ignored(fx: Fx) -> None:
    photos = fx("photos", 5, "cat", "dog")
    for path in list((photos / "cat").iterdir()):
        (photos / "cat" / f"._{path.name}").write_bytes(bytes(4096))
    (photos / "cat" / "Thumbs.db").write_bytes(b"x")
    (photos / "desktop.ini").write_bytes(b"x")
    dataset = open_data(photos, strict=True)
    assert len(dataset.labels) == 10
    assert "7 items hidden or left by the system" in texts(dataset)


def test_D12_suffixes_in_upper_case_are_read(fx: Fx) -> None:
    photos = fx("photos", 3, "cat", "dog")
    for index, suffix in enumerate((".JPG", ".Jpeg", ".PNG")):
        path = photos / "cat" / f"{index:03d}.jpg"
        path.rename(path.with_suffix(suffix))
    assert len(open_data(photos).labels) == 6


def test_D26_links_belong_where_they_sit_and_circles_end(fx: Fx) -> None:
    photos = fx("photos", 6, "cat", "dog")
    store = fx("store", 2, "x", "y")
    (photos / "cat" / "x.jpg").symlink_to(store / "x" / "000.jpg")
    (photos / "cat" / "loop").symlink_to("../dog")
    (photos / "dog" / "up").symlink_to("..")
    (photos / "cat" / "b.jpg").symlink_to("nowhere")
    (photos / "cat" / "y").symlink_to(store / "y")
    (store / "y" / "circle").symlink_to(".")
    (photos / "owl").symlink_to(store / "x")
    dataset = open_data(photos)
    labels = {name: dataset.class_names[label] for name, label in zip(dataset.paths, dataset.labels, strict=True)}
    assert labels["cat/x.jpg"] == labels["cat/y/000.jpg"] == "cat"
    assert np.bincount(dataset.labels).tolist() == [6 + 1 + 2, 6, 2]
    assert "cat/b.jpg (broken link)" in texts(dataset)
    assert "3 links to a folder in or around the data, not followed" in texts(dataset)
    assert {path for note in dataset.notes if note.kind == "link" for path in note.paths} == {
        "cat/loop",
        "cat/y/circle",
        "dog/up",
    }


@pytest.mark.parametrize("leads", ["../..", "..", "../../.."])
def test_N19_links_to_a_folder_around_the_data_are_not_followed(fx: Fx, leads: str) -> None:
    photos = fx("all/photos", 6, "cat", "dog")
    fx("all/others", 6, "dog")
    (photos / "cat" / "up").symlink_to(leads)
    dataset = open_data(photos)
    assert np.bincount(dataset.labels).tolist() == [6, 6]
    assert "1 link to a folder in or around the data, not followed: cat/up" in texts(dataset)


def not_followed(dataset: Dataset) -> set[str]:
    return {path for note in dataset.notes if note.kind == "link" for path in note.paths}


@pytest.mark.parametrize("leads", ["..", "../..", ".", "cat", "cat/deeper"])
def test_N19_a_link_back_is_no_class(fx: Fx, leads: str) -> None:
    photos = fx("all/photos", 6, "cat", "dog", "cat/deeper")
    fx("all/others", 6, "owl")
    (photos / "up").symlink_to(leads)
    dataset = open_data(photos)
    assert dataset.class_names == ("cat", "dog")
    assert np.bincount(dataset.labels).tolist() == [12, 6]
    assert "1 link to a folder in or around the data, not followed: up" in texts(dataset)


@pytest.mark.parametrize("leads", ["..", "../..", ".", "train"])
@pytest.mark.parametrize("name", ["val", "test", "up"])
def test_N19_a_link_back_is_no_split(fx: Fx, name: str, leads: str) -> None:
    data = fx("all/data/train", 6, "cat", "dog").parent
    fx("all/cat", 6, "tom")
    (data / name).symlink_to(leads)
    dataset = open_data(data)
    assert dataset.given == {"train": 12}
    assert f"1 link to a folder in or around the data, not followed: {name}" in texts(dataset)


def test_N19_links_do_not_lead_up_from_a_folder_that_a_link_led_to(fx: Fx) -> None:
    data = fx("data/train", 6, "cat", "dog").parent
    elsewhere = fx("elsewhere/val", 3, "cat", "dog")
    fx("elsewhere/more", 3, "cat")
    store = fx("store/owls", 4, "barn")
    (data / "val").symlink_to(elsewhere)
    (data / "train" / "owl").symlink_to(store)
    for link, leads in (("cat/up", ".."), ("cat/out", "../.."), ("cat/beside", "../dog"), ("again", "cat")):
        (elsewhere / link).symlink_to(leads)
    (store / "barn" / "up").symlink_to("../..")
    dataset = open_data(data)
    assert dataset.class_names == ("cat", "dog", "owl")
    assert dataset.counts()["val"] == {"cat": 3, "dog": 3, "owl": 0}
    assert dataset.given == {"train": 16, "val": 6}
    up = {"val/cat/up", "val/cat/out", "val/cat/beside", "val/again", "train/owl/barn/up"}
    assert not_followed(dataset) == up


def test_N19_a_folder_elsewhere_has_one_place(fx: Fx) -> None:
    photos = fx("photos", 6, "cat", "dog")
    store = fx("store", 4, "x", "y")
    for link, leads in (("eagle", "x"), ("owl", "x"), ("cat/more", "y"), ("dog/more", "y")):
        (photos / link).symlink_to(store / leads)
    dataset = open_data(photos)
    assert dataset.class_names == ("cat", "dog", "eagle")
    assert np.bincount(dataset.labels).tolist() == [6 + 4, 6, 4]
    assert not_followed(dataset) == {"dog/more", "owl"}


def test_N19_a_listing_does_not_lead_up_from_a_link(fx: Fx) -> None:
    inbox = fx("inbox", 1, "a")
    store = fx("store", 1, "x", "y")
    (inbox / "x").symlink_to(store / "x")
    (store / "x" / "up").symlink_to("..")
    (store / "x" / "beside").symlink_to("../y")
    passed_over: list[str] = []
    names = [name for name, _ in list_images(inbox, passed_over.append)]
    assert names == ["a/000.jpg", "x/000.jpg", "x/beside/000.jpg"]
    assert passed_over == ["x/up"]


def test_D27_the_first_level_is_the_class_and_one_level_too_deep_is_noticed(fx: Fx) -> None:
    photos = fx("zip/photos", 4, "cat", "dog", "cat/2023")
    dataset = open_data(photos)
    assert dataset.counts()["train"].keys() == {"cat", "dog"}
    assert np.bincount(dataset.labels).tolist() == [8, 4]
    assert "4 pictures deeper than the class folder" in texts(dataset)
    with pytest.raises(UserError, match=r"did you mean .*zip/photos"):
        open_data(photos.parent)


def test_D27_a_circle_of_links_does_not_keep_the_hint_from_coming(fx: Fx) -> None:
    photos, here, there = (fx(name, 0, "empty") for name in ("photos", "here", "there"))
    for folder in (photos, here, there):
        (folder / "empty").rmdir()
    (photos / "a").symlink_to(here)
    (here / "b").symlink_to(there)
    (there / "c").symlink_to(here)
    with pytest.raises(UserError, match="one class only, a"):
        open_data(photos)


def test_D27_a_link_to_the_folder_itself_is_no_class(fx: Fx) -> None:
    photos = fx("photos", 2, "cat")
    shutil.rmtree(photos / "cat")
    (photos / "self").symlink_to(".")
    with pytest.raises(UserError, match="holds no class folders with pictures"):
        open_data(photos)


def test_D28_the_order_of_writing_does_not_matter(fx: Fx, tmp_path: Path) -> None:
    first = fx("a/photos", 12, "cat", "dog", "owl")
    files = sorted(first.rglob("*.jpg"))
    random.Random(1).shuffle(files)
    second = tmp_path / "b" / "photos"
    for path in files:
        copy = second / path.relative_to(first)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    one, other = open_data(first), open_data(second)
    assert one.fingerprint == other.fingerprint
    assert {split: rows.tolist() for split, rows in one.splits.items()} == {
        split: rows.tolist() for split, rows in other.splits.items()
    }
    assert open_data(first, seed=1).fingerprint != one.fingerprint


def test_D29_loose_images_are_no_class(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    with pytest.raises(UserError, match=r"one class only.*did you mean .*photos\?"):
        open_data(photos / "cat")


def test_D37_nothing_is_written_beside_the_data(fx: Fx) -> None:
    photos = fx("photos", 4, "cat", "dog")
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*")}
    for path in [*photos.rglob("*"), photos]:
        path.chmod(0o555)
    try:
        open_data(photos)
    finally:
        for path in [photos, *photos.rglob("*")]:
            path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in photos.rglob("*")} == before


def test_I05_names_in_any_script_are_kept_and_undecodable_ones_are_printable(fx: Fx) -> None:
    names = ["café", "猫", "a b", "x,y", '"q"', "<i>"]
    photos = fx("photos", 3, *names)
    assert set(open_data(photos).class_names) == set(names)
    odd = photos / os.fsdecode(b"\xff\n")
    odd.mkdir()
    picture("odd", 0).save(odd / "0.jpg")
    dataset = open_data(photos)
    assert r"\udcff\n" in dataset.class_names
    texts(dataset).encode()


def test_I05_names_do_not_depend_on_the_locale(fx: Fx) -> None:
    photos = fx("猫と犬", 3, "café", "猫")
    code = """
import sys, naturalize.data
dataset = naturalize.data.open_data(sys.argv[1], classes=sys.argv[2:])
again = naturalize.data.open_data(dataset.source)
print(ascii([dataset.name, dataset.class_names, dataset.fingerprint, dataset.source]))
"""
    answers = set()
    for locale in ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "1"}):
        command = [sys.executable, "-c", code, str(photos), "猫", "café"]
        answers.add(subprocess.run(command, env=os.environ | locale, capture_output=True, text=True, check=True).stdout)
    assert len(answers) == 1
    assert ascii("café") in answers.pop()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: root / "missing", "no such file or folder"),
        (lambda root: write(root / "photos.zip"), "is an archive: unpack it"),
        (lambda root: write(root / "notes.txt"), "is neither a folder of class folders nor a parquet or Arrow file"),
        (lambda root: root, "holds no class folders with pictures"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(tmp_path: Path, make: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_data(make(tmp_path))  # type: ignore[operator]


def write(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


def test_a_path_that_is_missing_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fx(tmp_path / "photos", 1, "cat").parent)
    for source in ("./nothing", "photos/nothing", "nothing/", "nothing.parquet", "a/b/c"):
        with pytest.raises(UserError, match="no such file or folder"):
            open_data(source)


def test_list_images_of_a_file_a_folder_and_nested_folders(fx: Fx) -> None:
    photos = fx("photos", 1, "cat", "dog/2", "dog/10")
    (photos / ".hidden").mkdir()
    picture("x", 0).save(photos / ".hidden" / "0.jpg")
    (photos / "notes.txt").write_text("x")
    listed = list_images(photos)
    assert [name for name, _ in listed] == ["cat/000.jpg", "dog/2/000.jpg", "dog/10/000.jpg"]
    assert all(path.is_file() for _, path in listed)
    assert list_images(photos / "cat" / "000.jpg") == [("000.jpg", photos / "cat" / "000.jpg")]
    with pytest.raises(UserError, match="no such file or folder"):
        list_images(photos / "owl")
    (photos / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        list_images(photos / "empty")


def test_a_pipe_with_an_image_name_does_not_block(fx: Fx) -> None:
    photos = fx("photos", 3, "cat", "dog")
    os.mkfifo(photos / "cat" / "pipe.jpg")
    assert len(open_data(photos).labels) == 6


def test_grey_pictures_of_a_folder_give_one_channel(fx: Fx) -> None:
    photos = fx("photos", 3, "cat", "dog")
    for path in photos.rglob("*.jpg"):
        Image.open(path).convert("L").save(path)
    assert open_data(photos).channels == 1
