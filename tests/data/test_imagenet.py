"""ImageNet as it is unpacked: synsets, a flat validation folder, lists beside; written by the test, and read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import Fx, fx
from published import Splits, annotations, check_files, remove, rewrite, save, texts
from scipy.io import savemat

from naturalize.data import open_data
from naturalize.errors import UserError

SYNSETS = {
    "n01440764": "tench, Tinca tinca",
    "n02012849": "crane",
    "n03126707": "crane",
    "n03710721": "maillot, tank suit",
}
NAMES = {
    "n01440764": "tench",
    "n02012849": "crane (n02012849)",
    "n03126707": "crane (n03126707)",
    "n03710721": "maillot",
}


def write_train(base: Path, named: dict[str, str] | None = None) -> Splits:
    rows = []
    for synset in SYNSETS:
        for number in range(4):
            name = f"train/{synset}/{synset}_{number}.JPEG"
            save(base / name, synset, number)
            rows.append((name, (named or {}).get(synset, synset)))
    return {"train": rows}


def write_flat_val(base: Path, named: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """Eight pictures; the class of each, not in order."""
    rows = []
    for number in range(8):
        synset = [*SYNSETS][number * 3 % 4]
        name = f"val/ILSVRC2012_val_{number + 1:08d}.JPEG"
        save(base / name, synset, 100 + number)
        rows.append((name, (named or {}).get(synset, synset)))
    return rows


def solution(rows: list[tuple[str, str]]) -> str:
    """Kaggle's file: a box or more behind each synset; lines in no order."""
    lines = [f"{Path(name).stem},{synset} 85 1 499 272 {synset} 1 2 3 4 \n" for name, synset in rows]
    return "ImageId,PredictionString\n" + "".join(reversed(lines))


def test_imagenet_of_kaggle_has_names_and_a_flat_validation_folder(tmp_path: Path) -> None:
    base = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    splits = write_train(base, NAMES)
    (tmp_path / "LOC_val_solution.csv").write_text(solution(write_flat_val(base)))
    mapping = "".join(f"{synset} {names}\n" for synset, names in SYNSETS.items())
    (tmp_path / "LOC_synset_mapping.txt").write_text(mapping)
    save(base / "test" / "ILSVRC2012_test_00000001.JPEG", "x", 0)
    dataset = open_data(tmp_path)
    splits["val"] = write_flat_val(base, NAMES)[::-1]
    check_files(base, dataset, splits)
    assert dataset.class_names == tuple(NAMES.values())
    assert "test/ is not used: its pictures have no class" in texts(dataset)
    assert open_data(dataset.source).fingerprint == dataset.fingerprint


def write_devkit(folder: Path) -> None:
    """The development kit of 2012: classes are numbered in an order of their own, and no picture is named."""
    order = ["n03710721", "n01440764", "n02012849", "n03126707"]
    rows = [
        {"ILSVRC2012_ID": number, "WNID": synset, "words": SYNSETS[synset]} for number, synset in enumerate(order, 1)
    ]
    folder.mkdir(parents=True)
    savemat(folder / "meta.mat", {"synsets": annotations(rows).T}, do_compression=True)
    truth = [order.index([*SYNSETS][number * 3 % 4]) + 1 for number in range(8)]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth))


def test_the_development_kit_tells_the_classes_of_a_flat_validation_folder(tmp_path: Path) -> None:
    splits = write_train(tmp_path)
    splits["val"] = write_flat_val(tmp_path)
    write_devkit(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    dataset = open_data(tmp_path)
    check_files(tmp_path, dataset, splits)
    assert dataset.class_names == tuple(SYNSETS)


def test_names_of_wordnet_serve_where_val_is_sorted_into_folders(tmp_path: Path) -> None:
    splits = write_train(tmp_path, NAMES)
    splits["val"] = []
    for synset, name in NAMES.items():
        save(tmp_path / "val" / synset / "0.JPEG", synset, 200)
        splits["val"].append((f"val/{synset}/0.JPEG", name))
    assert open_data(tmp_path).class_names == tuple(SYNSETS), "an ordinary folder of class folders"
    words = [("n00001740", "entity"), *SYNSETS.items()]
    (tmp_path / "words.txt").write_text("".join(f"{synset}\t{name}\n" for synset, name in words))
    dataset = open_data(tmp_path)
    check_files(tmp_path, dataset, splits)
    assert dataset.class_names == tuple(NAMES.values())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove("ILSVRC2012_validation_ground_truth.txt"), r"nothing tells the classes of the pictures in val/: put"),
        (remove("meta.mat"), r"meta.mat is missing"),
        (remove("val/ILSVRC2012_val_00000003.JPEG"), r"tells the classes of 8 pictures, but val/ holds 7"),
        (
            rewrite(lambda text: "5\n" + text[2:], "ILSVRC2012_validation_ground_truth.txt"),
            r"has '5', of which meta.mat",
        ),
        (lambda root: savemat(root / "meta.mat", {"synsets": [1, 2]}), r"holds no synsets with ILSVRC2012_ID and WNID"),
        (
            lambda root: (root / "LOC_val_solution.csv").write_text(
                "ImageId,PredictionString\nILSVRC2012_val_00000001,tench\n"
            ),
            r"has 'tench' where a synset should be",
        ),
        (
            lambda root: (root / "LOC_val_solution.csv").write_text("h\nILSVRC2012_val_00000001,n99999999 1 2 3 4\n"),
            r"val holds pictures of n99999999, of which train has no folder",
        ),
        (
            lambda root: (root / "LOC_val_solution.csv").write_text("h\nILSVRC2012_val_00000009,n01440764 1 2 3 4\n"),
            r"names val/ILSVRC2012_val_00000009.JPEG, not found",
        ),
    ],
)
def test_lists_of_imagenet_that_are_damaged_are_told_in_one_line(
    damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    write_train(tmp_path)
    write_flat_val(tmp_path)
    write_devkit(tmp_path / "kit")
    for path in (tmp_path / "kit").iterdir():
        path.rename(tmp_path / path.name)
    damage(tmp_path)
    with pytest.raises(UserError, match=says) as told:
        open_data(tmp_path)
    assert "\n" not in str(told.value)


def test_cinic10_is_folders_of_class_folders(fx: Fx) -> None:
    """train, valid and test of ten classes each: https://github.com/BayesWatch/cinic-10."""
    for split, number in (("train", 6), ("valid", 3), ("test", 2)):
        root = fx(f"cinic/{split}", number, "airplane", "automobile", "truck").parent
    (root / "README.md").write_text("CINIC-10")
    (root / "imagenet-contributors.csv").write_text("synset, image_num, cinic_set, class, cinic_id\n")
    (root / "synsets-to-cinic-10-classes.txt").write_text("n00000001 airplane\n")
    dataset = open_data(root)
    assert dataset.given == {"train": 18, "val": 9, "test": 6}
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        for row in dataset.splits[split].tolist():
            assert dataset.paths[row].split("/")[:2] == [folder, dataset.class_names[dataset.labels[row]]]
    assert np.bincount(dataset.labels).tolist() == [11, 11, 11]


def test_train_folders_that_are_no_synsets_are_left_to_the_folder_reader(tmp_path: Path) -> None:
    fx(tmp_path / "d" / "train", 4, "n01440764", "cat")
    fx(tmp_path / "d" / "val", 2, "n01440764", "cat")
    (tmp_path / "d" / "words.txt").write_text("n01440764\ttench\n")
    assert open_data(tmp_path / "d").class_names == ("cat", "n01440764")
