"""Published layouts, written as their authors describe them; ways to damage them, and what a reader should give."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictures import picture
from PIL import Image
from scipy.io import savemat

from naturalize.data import Dataset

Splits = dict[str, list[tuple[str, str]]]  # by split: name of a picture, class


def save(path: Path, class_name: str, number: int) -> None:
    """One picture of a class as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(class_name, number).save(path)


def check_files(root: Path, dataset: Dataset, splits: Splits) -> None:
    """Every split holds these files in this order, with these classes, and their pixels."""
    assert {split: len(rows) for split, rows in splits.items()} == dataset.given
    for split, listed in splits.items():
        part = dataset.entries[dataset.splits[split][0]].part  # what was given: val or test may have been cut of it
        assert list(zip(part.names, part.labels, strict=True)) == listed
        for row, (name, _) in enumerate(listed):
            assert np.array_equal(np.asarray(part.open(row, None).picture), np.asarray(Image.open(root / name))), name


def check_arrays(dataset: Dataset, split: str, pixels: NDArray[np.uint8], labels: list[str]) -> None:
    """A split holds these pictures `(n, h, w)` or `(n, h, w, 3)` in this order, with these classes."""
    assert dataset.given[split] == len(pixels)
    part = dataset.entries[dataset.splits[split][0]].part
    assert list(part.labels) == labels
    for row, values in enumerate(pixels):
        assert np.array_equal(np.asarray(part.open(row, None).picture), values)


def texts(dataset: Dataset) -> str:
    return "\n".join(dataset.summary())


def write_dtd(root: Path) -> Splits:
    """Describable Textures: https://www.robots.ox.ac.uk/~vgg/data/dtd."""
    splits: Splits = {"train": [], "val": [], "test": []}
    for name in ("banded", "blotchy", "dotted"):
        for number in range(6):
            save(root / "images" / name / f"{name}_{number:04d}.jpg", name, number)
            split = ("train", "train", "train", "val", "test", "test")[number]
            splits[split].append((f"images/{name}/{name}_{number:04d}.jpg", name))
    (root / "labels").mkdir()
    for split, rows in splits.items():
        lines = "".join(f"{name.removeprefix('images/')}\n" for name, _ in rows)
        (root / "labels" / f"{split}1.txt").write_text(lines)
        (root / "labels" / f"{split}2.txt").write_text(lines[:0:-1])
    (root / "labels" / "labels_joint_anno.txt").write_text("banded/banded_0000.jpg banded dotted \n")
    return splits


def write_food(root: Path, as_json: bool = False) -> Splits:
    """Food-101: https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101."""
    splits: Splits = {"train": [], "test": []}
    for name in ("apple_pie", "beignets"):
        for number in range(5):
            save(root / "images" / name / f"{number + 100}.jpg", name, number)
            splits["train" if number < 4 else "test"].append((f"images/{name}/{number + 100}.jpg", name))
    (root / "meta").mkdir()
    for split, rows in splits.items():
        ids = [name[len("images/") : -len(".jpg")] for name, _ in rows]
        if as_json:
            by_class = {kind: [one for one in ids if one.startswith(kind)] for kind in ("apple_pie", "beignets")}
            (root / "meta" / f"{split}.json").write_text(json.dumps(by_class))
        else:
            (root / "meta" / f"{split}.txt").write_text("\n".join(ids) + "\n")
    (root / "meta" / "classes.txt").write_text("apple_pie\nbeignets\n")
    return splits


VARIANTS = ("707-320", "Cessna 525", "F/A-18")


def write_aircraft(root: Path) -> Splits:
    """FGVC-Aircraft: https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft."""
    splits: Splits = {"train": [], "val": [], "test": []}
    for kind, name in enumerate(VARIANTS):
        for number in range(5):
            save(root / "images" / f"{kind}{number:06d}.jpg", name, number)
            split = ("train", "train", "val", "test", "test")[number]
            splits[split].append((f"images/{kind}{number:06d}.jpg", name))
    for split, rows in splits.items():
        lines = [f"{name[len('images/') : -len('.jpg')]} {variant}\n" for name, variant in rows]
        (root / f"images_variant_{split}.txt").write_text("".join(lines))
    (root / "variants.txt").write_text("\n".join(VARIANTS) + "\n")
    (root / "images_box.txt").write_text("0000000 1 2 3 4\n")
    return splits


def write_pets(root: Path) -> Splits:
    """Oxford-IIIT Pets: https://www.robots.ox.ac.uk/~vgg/data/pets."""
    splits: Splits = {"train": [], "test": []}
    lines = {"train": "", "test": ""}
    (root / "annotations" / "trimaps").mkdir(parents=True)
    for number_of, name in enumerate(("Abyssinian", "american_bulldog", "Bengal"), 1):
        for number in range(5):
            save(root / "images" / f"{name}_{number + 1}.jpg", name, number)
            Image.new("L", (4, 4)).save(root / "annotations" / "trimaps" / f"{name}_{number + 1}.png")
            split = "train" if number < 4 else "test"
            splits[split].append((f"images/{name}_{number + 1}.jpg", name))
            lines[split] += f"{name}_{number + 1} {number_of} 1 1\n"
    (root / "annotations" / "trainval.txt").write_text(lines["train"])
    (root / "annotations" / "test.txt").write_text(lines["test"])
    (root / "annotations" / "list.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n" + lines["train"])
    return splits


def write_flowers(root: Path) -> Splits:
    """Oxford Flowers 102: https://www.robots.ox.ac.uk/~vgg/data/flowers/102."""
    labels = [1 + 10 * (number % 3) for number in range(18)]
    for number, label in enumerate(labels, 1):
        save(root / "jpg" / f"image_{number:05d}.jpg", str(label), number)
    numbers = {"train": [9, 1, 2, 3, 4, 5], "val": [6, 7, 8], "test": [*range(10, 19)]}
    savemat(root / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)}, do_compression=True)
    ids = {"trnid": numbers["train"], "valid": numbers["val"], "tstid": numbers["test"]}
    savemat(root / "setid.mat", {name: np.array([value], dtype=np.uint16) for name, value in ids.items()})
    return {
        split: [(f"jpg/image_{number:05d}.jpg", str(labels[number - 1])) for number in of]
        for split, of in numbers.items()
    }


CARS = ("AM General Hummer SUV 2000", "Ram C/V Cargo Van 2012", "smart fortwo 2012")


def annotations(rows: list[dict[str, object]]) -> NDArray[np.void]:
    """A MATLAB structure array, 1 x n."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for place, row in enumerate(rows):
        array[0, place] = tuple(row.values())
    return array


def write_cars(root: Path, labels_of_test: bool = True) -> Splits:
    """Stanford Cars: http://ai.stanford.edu/~jkrause/cars/car_dataset.html, in two folders."""
    splits: Splits = {"train": [], "test": []}
    (root / "devkit").mkdir(parents=True)
    box = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 30, "bbox_y2": 40}
    for split, number_of in (("train", 4), ("test", 1)):
        rows = []
        for number in range(number_of * len(CARS)):
            kind, name = number % len(CARS), f"{number + 1:05d}.jpg"
            save(root / f"cars_{split}" / name, CARS[kind], number + 100 * (split == "test"))
            splits[split].append((f"cars_{split}/{name}", CARS[kind]))
            rows.append({**box, "class": np.uint8(kind + 1), "fname": name})
        if split == "test":
            without = [{key: value for key, value in row.items() if key != "class"} for row in rows]
            savemat(root / "devkit" / "cars_test_annos.mat", {"annotations": annotations(without)})
            if not labels_of_test:
                continue
        name = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}[split]
        savemat(root / name, {"annotations": annotations(rows)}, do_compression=True)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array([CARS], dtype=object)})
    return splits


def write_cars_in_one(root: Path) -> Splits:
    """Stanford Cars as they came later: one folder, one file."""
    splits: Splits = {"train": [], "test": []}
    rows = []
    for number in range(15):
        kind, name = number % len(CARS), f"car_ims/{number + 1:06d}.jpg"
        save(root / name, CARS[kind], number)
        split = "train" if number < 12 else "test"
        splits[split].append((name, CARS[kind]))
        rows.append({"relative_im_path": name, "bbox_x1": 1, "class": np.uint8(kind + 1), "test": int(number >= 12)})
    savemat(root / "cars_annos.mat", {"annotations": annotations(rows), "class_names": np.array([CARS], dtype=object)})
    return splits


FILES: dict[str, Callable[[Path], Splits]] = {
    "dtd": write_dtd,
    "food-101": write_food,
    "food-101-json": lambda root: write_food(root, as_json=True),
    "aircraft": write_aircraft,
    "pets": write_pets,
    "flowers": write_flowers,
    "cars": write_cars,
    "cars-in-one": write_cars_in_one,
}


def rewrite(change: Callable[[str], str], *names: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for name in names:
            (root / name).write_text(change((root / name).read_text()))

    return do


def cut_off(name: str, by: int = 1) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:-by]) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def noise(n: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Pictures `(n, side, side, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def cifar_bytes(pictures: NDArray[np.uint8], labels: list[bytes]) -> bytes:
    """Records: the label, then all red values row by row, all green, all blue (cs.toronto.edu/~kriz/cifar.html)."""
    records = b""
    for values, label in zip(pictures, labels, strict=True):
        planes = [bytes(int(pixel[colour]) for row in values for pixel in row) for colour in range(3)]
        records += label + b"".join(planes)
    return records


def write_cifar10(root: Path) -> dict[str, tuple[NDArray[np.uint8], list[str]]]:
    root.mkdir()
    names = ["airplane", "automobile", "bird"]
    (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    kinds = [number % 3 for number in range(6)]
    train = [noise(6, 32, batch) for batch in range(5)]
    for batch, pictures in enumerate(train, 1):
        (root / f"data_batch_{batch}.bin").write_bytes(cifar_bytes(pictures, [bytes([kind]) for kind in kinds]))
    test = noise(6, 32, 9)
    (root / "test_batch.bin").write_bytes(cifar_bytes(test, [bytes([kind]) for kind in kinds]))
    labels = [names[kind] for kind in kinds]
    return {"train": (np.concatenate(train), labels * 5), "test": (test, labels)}


def write_cifar100(root: Path) -> dict[str, tuple[NDArray[np.uint8], list[str]]]:
    root.mkdir()
    fine = ["apple", "aquarium_fish", "baby", "bear"]
    (root / "fine_label_names.txt").write_text("\n".join(fine) + "\n")
    (root / "coarse_label_names.txt").write_text("fruit\nfish\n")
    written = {}
    for split, number_of in (("train", 12), ("test", 4)):
        pictures, kinds = noise(number_of, 32, number_of), [number % 4 for number in range(number_of)]
        records = cifar_bytes(pictures, [bytes([kind // 2, kind]) for kind in kinds])
        (root / f"{split}.bin").write_bytes(records)
        written[split] = pictures, [fine[kind] for kind in kinds]
    return written


def write_stl10(root: Path) -> dict[str, tuple[NDArray[np.uint8], list[str]]]:
    """Labels from 1; a picture is its red values column by column, then green, then blue (cs.stanford.edu/~acoates)."""
    root.mkdir()
    names = ["airplane", "bird", "car"]
    (root / "class_names.txt").write_text("\n".join(names))
    (root / "fold_indices.txt").write_text("0 1 2\n")
    (root / "unlabeled_X.bin").write_bytes(bytes(3 * 96 * 96))
    written = {}
    for split, number_of in (("train", 9), ("test", 3)):
        pictures, kinds = noise(number_of, 96, number_of), [number % 3 for number in range(number_of)]
        content = bytearray()
        for values in pictures:
            for colour in range(3):
                for column in range(96):
                    content += bytes(values[row, column, colour] for row in range(96))
        (root / f"{split}_X.bin").write_bytes(content)
        (root / f"{split}_y.bin").write_bytes(bytes(kind + 1 for kind in kinds))
        written[split] = pictures, [names[kind] for kind in kinds]
    return written


def idx(values: NDArray[np.uint8]) -> bytes:
    """Zero, zero, 8 for bytes, the number of axes, their lengths, most significant byte first, and the values."""
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


def write_mnist(root: Path, mark: str = "-", packed: bool = False) -> dict[str, tuple[NDArray[np.uint8], list[str]]]:
    root.mkdir()
    written = {}
    for stem, number_of in (("train", 40), ("t10k", 20)):
        pictures = noise(number_of, 28, number_of)[..., 0]
        labels = np.arange(number_of, dtype=np.uint8) % 10
        for kind, axes, values in (("images", 3, pictures), ("labels", 1, labels)):
            content = idx(values)
            name = f"{stem}-{kind}{mark}idx{axes}-ubyte"
            (root / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(content) if packed else content)
        written["train" if stem == "train" else "test"] = pictures, [str(label) for label in labels]
    return written


RECORDS: dict[str, Callable[[Path], dict[str, tuple[NDArray[np.uint8], list[str]]]]] = {
    "cifar-10-batches-bin": write_cifar10,
    "cifar-100-binary": write_cifar100,
    "stl10_binary": write_stl10,
    "mnist": write_mnist,
    "mnist-dots": lambda root: write_mnist(root, "."),
    "mnist-gz": lambda root: write_mnist(root, "-", packed=True),
}
