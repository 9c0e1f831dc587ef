"""Which reader takes what: a layout is read as that, and an ordinary folder of class folders as such."""

import os
import pickle
from pathlib import Path

import pytest
from pictures import Fx
from published import FILES, RECORDS, write_cifar10, write_dtd

from naturalize.data import open_data
from naturalize.data.opening import READERS
from naturalize.errors import UserError


@pytest.mark.parametrize("name", [*FILES, *RECORDS])
def test_one_reader_alone_takes_a_layout_before_the_folder_reader(name: str, tmp_path: Path) -> None:
    (FILES | RECORDS)[name](tmp_path / name)
    taking = [reader.__name__.rpartition(".")[2] for reader in READERS if reader.accepts(tmp_path / name)]
    assert len(taking) == 2
    assert taking[1] == "folder"


@pytest.mark.parametrize(
    "classes",
    [
        ("images", "labels"),
        ("images", "meta", "jpg"),
        ("images", "annotations"),
        ("cars_train", "bus"),
        ("train", "test", "val", "meta"),
        ("jpg", "png"),
        ("data", "devkit"),
        ("car_ims", "cars"),
        ("n01440764", "n02012849"),
    ],
)
def test_ordinary_class_folders_of_any_name_are_class_folders(classes: tuple[str, ...], fx: Fx) -> None:
    root = fx("photos", 4, *classes)
    for name in ("README.txt", "labels.txt", "classes.txt", "words.txt", "list.csv"):
        (root / name).write_text("images/000.jpg cat\n")
    assert open_data(root).class_names == tuple(sorted(classes))


def test_a_reader_is_found_without_reading_the_pictures_of_a_folder(fx: Fx, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fx("photos", 4, "cat", "dog")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    taking = [reader for reader in READERS if reader.accepts(root)]
    assert len(taking) == 1
    assert sorted(listed) == sorted(map(str, (root, root / "cat", root / "dog"))), "once, for tables"


def test_what_the_system_refuses_is_told_in_one_line(fx: Fx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fx("photos", 4, "cat", "dog")
    (root / "cat" / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"photos/cat/loop cannot be read: Too many levels of symbolic links"):
        open_data(root)
    write_dtd(tmp_path / "dtd")

    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(UserError, match=r"labels/train1.txt cannot be read: Permission denied"):
        open_data(tmp_path / "dtd")


def test_no_reader_unpickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    write_cifar10(tmp_path / "cifar")
    write_dtd(tmp_path / "dtd")
    for name in ("cifar", "dtd"):
        open_data(tmp_path / name)
