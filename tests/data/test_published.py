"""Published layouts of pictures in files, written by the test, and read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published import (
    CARS,
    FILES,
    VARIANTS,
    check_files,
    cut_off,
    remove,
    rewrite,
    texts,
    write_aircraft,
    write_cars,
    write_dtd,
    write_flowers,
    write_pets,
)
from scipy.io import savemat

from naturalize.data import open_data
from naturalize.data.readers import matlab
from naturalize.errors import UserError


@pytest.mark.parametrize("name", FILES)
def test_pictures_classes_and_splits_are_those_of_the_lists(name: str, tmp_path: Path) -> None:
    splits = FILES[name](tmp_path / name)
    dataset = open_data(tmp_path / name)
    check_files(tmp_path / name, dataset, splits)
    assert dataset.name == name
    assert open_data(dataset.source).fingerprint == dataset.fingerprint


def test_the_order_of_classes_is_that_of_the_data_set(tmp_path: Path) -> None:
    write_aircraft(tmp_path / "fgvc" / "data")
    dataset = open_data(tmp_path / "fgvc")  # as its archive unpacks
    assert dataset.class_names == VARIANTS
    assert "20 rows of copyright" in texts(dataset)
    write_pets(tmp_path / "pets")
    assert open_data(tmp_path / "pets").class_names == ("Abyssinian", "american_bulldog", "Bengal")
    write_cars(tmp_path / "cars")
    assert open_data(tmp_path / "cars").class_names == CARS


def test_it_is_said_which_split_of_dtd_is_used(tmp_path: Path) -> None:
    write_dtd(tmp_path / "dtd")
    assert "split 1 of those published is used: labels/train1.txt" in texts(open_data(tmp_path / "dtd"))


def test_cars_without_labels_of_test_are_said_and_cut(tmp_path: Path) -> None:
    splits = write_cars(tmp_path / "cars", labels_of_test=False)
    dataset = open_data(tmp_path / "cars")
    assert dataset.given == {"train": len(splits["train"])}
    assert "cars_test/ is not used: cars_test_annos_withlabels.mat is missing" in texts(dataset)


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (
            "dtd",
            remove("images/dotted/dotted_0001.jpg"),
            r"labels/train1.txt names images/dotted/dotted_0001.jpg, not found",
        ),
        ("dtd", remove("labels/val1.txt"), r"lacks labels/val1.txt, a part of its data set: unpack all of it"),
        ("dtd", rewrite(lambda text: "", "labels/test1.txt"), r"labels/test1.txt is empty"),
        ("dtd", rewrite(lambda text: text * 2, "labels/val1.txt"), r"labels/val1.txt names .*banded_0003.jpg twice"),
        (
            "dtd",
            rewrite(lambda text: text + "banded/banded_0000.jpg\n", "labels/test1.txt"),
            r"labels/train1.txt and labels/test1.txt name images/banded/banded_0000.jpg: a picture stands",
        ),
        ("dtd", rewrite(lambda text: "../../../x.jpg\n" + text, "labels/train1.txt"), r"names .*, which leads out of"),
        ("dtd", rewrite(lambda text: "x.jpg\n" + text, "labels/train1.txt"), r"names x.jpg: a line is CLASS/PICTURE"),
        ("food-101", remove("meta/test.txt"), r"lacks meta/test.txt"),
        ("food-101-json", rewrite(lambda text: text[:-5], "meta/train.json"), r"train.json cannot be read"),
        ("food-101-json", rewrite(lambda text: '{"a": [1]}', "meta/train.json"), r"something else than names"),
        ("food-101-json", rewrite(lambda text: "[]", "meta/train.json"), r"train.json cannot be read"),
        (
            "aircraft",
            rewrite(lambda text: text[:-3], "variants.txt"),
            r"holds F/A-18, of which variants.txt knows nothing",
        ),
        ("aircraft", remove("variants.txt"), r"lacks variants.txt"),
        ("aircraft", rewrite(lambda text: text + "17\n", "images_variant_val.txt"), r"holds no variant, of which"),
        (
            "pets",
            rewrite(lambda text: text.replace("l_5 3", "l_5 1"), "annotations/test.txt"),
            r"Bengal_5 is of class 1, Abys",
        ),
        (
            "pets",
            rewrite(lambda text: text.replace("l_5 3", "l_5 4"), "annotations/test.txt"),
            r"gives one class two numbers",
        ),
        (
            "pets",
            lambda root: [remove(f"annotations/{name}.txt")(root) for name in ("trainval", "test")],
            r"lacks annotations/trai",
        ),
        ("pets", rewrite(lambda text: "Bengal\n", "annotations/test.txt"), r"has the line 'Bengal', which is not"),
        ("flowers", remove("setid.mat"), r"setid.mat is missing"),
        ("flowers", remove("imagelabels.mat"), r"imagelabels.mat is missing"),
        ("flowers", cut_off("setid.mat", 40), r"setid.mat (cannot be read as a MATLAB file|has no variable tstid)"),
        (
            "flowers",
            lambda root: savemat(root / "imagelabels.mat", {"labels": np.array([[0] * 18])}),
            r"holds 0 among labels, which go from 1 to 102",
        ),
        (
            "flowers",
            lambda root: savemat(root / "setid.mat", {"trnid": [1.5], "valid": [2], "tstid": [3]}),
            r"holds 1.5 among trnid, which go from 1 to 18",
        ),
        (
            "flowers",
            lambda root: savemat(root / "setid.mat", {"trnid": [1, 19], "valid": [2], "tstid": [3]}),
            r"holds 19 among trnid",
        ),
        ("cars", remove("devkit/cars_train_annos.mat"), r"devkit/cars_train_annos.mat is missing"),
        (
            "cars",
            lambda root: savemat(
                root / "devkit" / "cars_meta.mat", {"class_names": np.array([CARS[:2]], dtype=object)}
            ),
            r"holds 3 among class, which go from 1 to 2",
        ),
        ("cars", lambda root: savemat(root / "devkit" / "cars_meta.mat", {"x": 1}), r"has no variable class_names"),
        (
            "cars",
            lambda root: savemat(root / "devkit" / "cars_train_annos.mat", {"annotations": np.arange(3)}),
            r"holds annotations without fname or class",
        ),
        (
            "cars-in-one",
            lambda root: (root / "cars_annos.mat").write_bytes(b"MATLAB 7.3 MAT-file"),
            r"cannot be read as a MATLAB",
        ),
    ],
)
def test_what_is_damaged_is_told_in_one_line(
    name: str, damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    FILES[name](tmp_path / name)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=says) as told:
        open_data(tmp_path / name)
    assert "\n" not in str(told.value)


def test_pictures_that_links_of_a_list_lead_away_to_are_refused(tmp_path: Path) -> None:
    write_dtd(tmp_path / "dtd")
    inside, outside = (tmp_path / "dtd" / "images" / "dotted" / f"dotted_000{number}.jpg" for number in (0, 1))
    inside.unlink()
    inside.symlink_to("../banded/banded_0000.jpg")
    assert open_data(tmp_path / "dtd").given == {"train": 9, "val": 3, "test": 6}
    outside.rename(tmp_path / "away.jpg")
    outside.symlink_to("../../../away.jpg")
    with pytest.raises(UserError, match=r"names dotted/dotted_0001.jpg|dotted_0001.jpg, which leads out of"):
        open_data(tmp_path / "dtd")


@pytest.mark.parametrize("code", ["import os; os.abort()", "import time; time.sleep(60)", "print('[')", "1 / 0"])
def test_a_matlab_file_that_ends_its_reader_ends_nothing_else(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flowers(tmp_path / "flowers")
    monkeypatch.setattr(matlab, "CODE", code)
    monkeypatch.setattr(matlab, "PATIENCE_S", 0.5)
    with pytest.raises(UserError, match=r"imagelabels.mat cannot be read as a MATLAB file of version 4 to 7.2"):
        open_data(tmp_path / "flowers")
