"""Published layouts of pixels in records and arrays, written by the test, and read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published import RECORDS, check_arrays, cut_off, noise, remove, rewrite, texts, write_cifar10, write_stl10

from naturalize.data import open_data
from naturalize.errors import UserError


@pytest.mark.parametrize("name", RECORDS)
def test_pixels_in_files_of_records_are_those_that_were_written(name: str, tmp_path: Path) -> None:
    written = RECORDS[name](tmp_path / name)
    dataset = open_data(tmp_path / name)
    assert set(dataset.given) == set(written)
    for split, (pictures, labels) in written.items():
        check_arrays(dataset, split, pictures, labels)
    assert dataset.channels == (1 if name.startswith("mnist") else 3)
    assert open_data(dataset.source).fingerprint == dataset.fingerprint


def test_names_of_cifar_keep_their_order_and_stl_leaves_the_unlabelled(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c")
    (tmp_path / "c" / "batches.meta.txt").write_text("truck\nship\nairplane\n")
    assert open_data(tmp_path / "c").class_names == ("truck", "ship", "airplane")
    write_stl10(tmp_path / "s")
    assert "unlabeled_X.bin is not used: its pictures have no class" in texts(open_data(tmp_path / "s"))


def test_a_file_of_records_that_shrinks_after_it_was_listed_is_told(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c")
    dataset = open_data(tmp_path / "c", memory_limit=0)
    cut_off("data_batch_5.bin", 3073)(tmp_path / "c")
    with pytest.raises(UserError, match=r"train\[29\] cannot be read: data_batch_5.bin is shorter than it was"):
        dataset.entries[0].part.open(29, None)


@pytest.mark.parametrize(
    ("files", "sort"),
    [
        (("batches.meta", "data_batch_1", "test_batch"), "cifar-10-batches-py"),
        (("meta", "train", "test"), "cifar-100-python"),
    ],
)
def test_pickles_of_cifar_are_refused(files: tuple[str, ...], sort: str, tmp_path: Path) -> None:
    (tmp_path / sort).mkdir()
    for name in files:
        (tmp_path / sort / name).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UserError, match=r"Python version, pickles that may run anything: take the binary version"):
        open_data(tmp_path / sort)


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        (
            "cifar-10-batches-bin",
            cut_off("data_batch_2.bin"),
            r"data_batch_2.bin has 18,437 bytes, no multiple of 3,073",
        ),
        ("cifar-10-batches-bin", remove("data_batch_4.bin"), r"data_batch_4.bin is missing"),
        ("cifar-10-batches-bin", remove("batches.meta.txt"), r"lacks batches.meta.txt"),
        (
            "cifar-10-batches-bin",
            rewrite(lambda text: "a\nb\n", "batches.meta.txt"),
            r"data_batch_1.bin says that picture 2",
        ),
        (
            "cifar-100-binary",
            rewrite(lambda text: "a\nb\nc\n", "fine_label_names.txt"),
            r"train.bin says that picture 3 is",
        ),
        ("cifar-100-binary", lambda root: (root / "test.bin").write_bytes(b""), r"test.bin has 0 bytes"),
        ("stl10_binary", cut_off("train_y.bin"), r"train_X.bin holds 9 pictures, and train_y.bin 8 labels"),
        (
            "stl10_binary",
            lambda root: (root / "test_y.bin").write_bytes(b"\x01\x00\x02"),
            r"picture 1 is of class 0, but .* 1 to 3",
        ),
        ("stl10_binary", cut_off("test_X.bin"), r"test_X.bin has 82,943 bytes, no multiple of 27,648"),
        ("mnist", cut_off("train-images-idx3-ubyte"), r"holds 31,359 values, but says 40 x 28 x 28: fetch it again"),
        ("mnist", remove("t10k-labels-idx1-ubyte"), r"lacks the t10k labels"),
        (
            "mnist",
            lambda root: (root / "t10k-labels-idx1-ubyte").write_bytes((root / "t10k-images-idx3-ubyte").read_bytes()),
            r"begins with 00 00 08 03, not with 00 00 08 01",
        ),
        (
            "mnist",
            lambda root: (root / "t10k-labels-idx1-ubyte").write_bytes((root / "train-labels-idx1-ubyte").read_bytes()),
            r"has 20 t10k pictures, but 40 labels",
        ),
        ("mnist-gz", cut_off("train-images-idx3-ubyte.gz", 9), r"train-images-idx3-ubyte.gz cannot be read: "),
        ("mnist-gz", lambda root: (root / "t10k-images-idx3-ubyte.gz").write_bytes(b"x"), r"ubyte.gz cannot be read: "),
    ],
)
def test_records_that_are_damaged_are_told_in_one_line(
    name: str, damage: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    RECORDS[name](tmp_path / name)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=says) as told:
        open_data(tmp_path / name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
        {"train": ("X", "y")},
        {
            "train": ("train_images", "train_labels"),
            "val": ("val_images", "val_labels"),
            "test": ("test_images", "test_labels"),
        },
    ],
)
def test_arrays_of_npz_files_are_read_by_their_names(keys: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    written, arrays = {}, {}
    for number, (split, (images, labels)) in enumerate(keys.items()):
        kinds = np.arange(12, dtype=np.uint8) % 3
        written[split] = noise(12, 28, number), [str(kind) for kind in kinds]
        arrays |= {images: written[split][0], labels: kinds[:, None] if images.endswith("images") else kinds}
    np.savez(tmp_path / "set.npz", **arrays)
    dataset = open_data(tmp_path / "set.npz")
    assert set(dataset.given) == set(keys)
    for split, (pictures, labels_of) in written.items():
        check_arrays(dataset, split, pictures, labels_of)
    assert open_data(dataset.source).fingerprint == dataset.fingerprint
    assert dataset.name == "set"


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": noise(3, 8, 0)}, r"set.npz holds a, not x_train and y_train"),
        ({"x_train": noise(3, 8, 0)}, r"set.npz holds x_train without the labels that belong to it"),
        ({"y_test": [1, 2]}, r"set.npz holds y_test without the pictures that belong to it"),
        ({"X": noise(3, 8, 0), "x_train": noise(3, 8, 0), "y": [1, 2, 3]}, r"holds X and x_train, which mean the same"),
        ({"X": noise(3, 8, 0), "y": [1, 2]}, r"set.npz: train has 3 pictures but 2 labels"),
        ({"X": noise(3, 8, 0), "y": np.zeros((3, 14), int)}, r"set.npz: y of train: give one label per picture"),
        ({"X": noise(3, 8, 0), "y": np.array([1, None, "a"], dtype=object)}, r"set.npz cannot be read: Object arrays"),
    ],
)
def test_npz_files_of_something_else_are_told_in_one_line(arrays: dict[str, object], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=says) as told:
        open_data(tmp_path / "set.npz")
    assert "\n" not in str(told.value)


def test_damaged_npz_files_are_told_in_one_line(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", X=noise(12, 8, 0), y=np.arange(12) % 2)
    whole = (tmp_path / "set.npz").read_bytes()
    chance, path, refused = np.random.default_rng(0), tmp_path / "damaged.npz", 0
    for _ in range(150):
        content = bytearray(whole[: chance.integers(1, len(whole))] if chance.random() < 0.3 else whole)
        for place in chance.integers(0, len(content), 3):
            content[place] = chance.integers(256)
        path.write_bytes(content)
        try:
            open_data(path)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - not every damage is to be seen
            refused += 1
    assert refused > 100
