"""Columns of 0 and 1 as labels: which are taken, how they are cut, and what is refused."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import picture

from naturalize.data import open_data
from naturalize.data.label_columns import rarest
from naturalize.errors import UserError

EVEN, LOOP = [1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0]


def jpeg(name, number):
    buffer = io.BytesIO()
    picture(name, number).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURES = [jpeg("cat" if even else "dog", index) for index, even in enumerate(EVEN)]


def csv_of(folder, columns):
    for row, content in enumerate(PICTURES):
        (folder / f"{row}.jpg").write_bytes(content)
    columns = {"path": [f"{row}.jpg" for row in range(len(EVEN))], **columns}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (folder / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "list.csv"


def parquet_of(folder, columns, name="birds.parquet"):
    path = folder / name
    pq.write_table(pa.table({"image": PICTURES, **columns}), path)
    return path


MAKERS = [csv_of, parquet_of]


@pytest.mark.parametrize("make", MAKERS)
def test_columns_of_0_and_1_are_a_label_each(make, tmp_path):
    dataset = open_data(make(tmp_path, {"id": list(range(12)), "even": EVEN, "loop": LOOP}))
    assert dataset.class_names == ("even", "loop")
    assert dataset.labels.tolist() == np.stack([EVEN, LOOP], 1).tolist()
    assert dataset.summary()[0].startswith("list: any of 2" if make is csv_of else "birds: any of 2")
    assert "columns beside the labels left out: id" in dataset.summary()
    assert dataset.counts()["train"]["even"] == sum(EVEN[row] for row in dataset.splits["train"])


@pytest.mark.parametrize(
    "values", [[True, False] * 6, [1.0, 0.0] * 6, pa.array([1, 0] * 6, pa.int8()), pa.array([1, 0] * 6, pa.uint64())]
)
def test_any_type_of_0_and_1_will_do(values, tmp_path):
    dataset = open_data(parquet_of(tmp_path, {"a": values, "loop": LOOP}))
    assert dataset.labels[:, 0].tolist() == [1, 0] * 6


def test_a_csv_may_say_true_and_false(tmp_path):
    dataset = open_data(csv_of(tmp_path, {"a": ["True", "false"] * 6, "loop": LOOP}))
    assert dataset.labels[:, 0].tolist() == [1, 0] * 6


@pytest.mark.parametrize("make", MAKERS)
def test_classes_name_columns(make, tmp_path):
    path = make(tmp_path, {"even": EVEN, "blurred": LOOP, "loop": LOOP, "label": ["x", "y", "z"] * 4})
    dataset = open_data(path, classes=["loop", "even"])
    assert dataset.class_names == ("loop", "even")
    assert dataset.labels.tolist() == np.stack([LOOP, EVEN], 1).tolist()
    assert open_data(path, classes=["x", "y", "z"]).labels.tolist() == [0, 1, 2] * 4


def test_arrays_have_numbers_for_names_unless_told(rng):
    pictures = rng.integers(0, 256, (12, 8, 8)).astype(np.uint8)
    labels = np.stack([EVEN, LOOP], 1)
    assert open_data((pictures, labels)).class_names == ("0", "1")
    dataset = open_data((pictures, labels.astype(bool)), classes=["even", "loop"])
    assert dataset.class_names == ("even", "loop")
    assert dataset.labels.tolist() == labels.tolist()


def test_arrays_in_a_file_as_well(rng, tmp_path):
    np.savez(tmp_path / "set.npz", x=rng.integers(0, 256, (12, 8, 8)).astype(np.uint8), y=np.stack([EVEN, LOOP], 1))
    assert open_data(tmp_path / "set.npz").labels.shape == (12, 2)


@pytest.mark.parametrize("classes", [None, ["even", "loop"]], ids=["found", "named"])
@pytest.mark.parametrize("make", MAKERS)
def test_a_row_without_a_label_is_fine_and_one_without_cells_is_left_out(make, classes, tmp_path):
    empty = "" if make is csv_of else None
    path = make(tmp_path, {"even": [*EVEN[:-1], empty], "loop": [*LOOP[:-1], empty]})
    dataset = open_data(path, classes=classes)
    assert len(dataset.labels) == 11
    assert [0, 0] in dataset.labels.tolist()
    assert "1 picture without a label, skipped" in "\n".join(dataset.summary())


@pytest.mark.parametrize("make", MAKERS)
def test_where_each_picture_has_one_label_it_is_its_class(make, tmp_path):
    dataset = open_data(make(tmp_path, {"odd": [1 - even for even in EVEN], "even": EVEN}))
    assert dataset.class_names == ("odd", "even")
    assert dataset.labels.tolist() == EVEN
    assert "each picture has exactly one of the labels odd, even: taken as its class" in dataset.summary()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("columns", "classes", "told"),
    [
        ({"even": [*EVEN[:-1], 2], "loop": LOOP, "big": EVEN}, None, "column even holds 2 besides 0 and 1"),
        (
            {"even": [*EVEN[:-1], 2], "loop": LOOP},
            ["even", "loop"],
            "even of row 11 of train holds 2: labels are 0 and",
        ),
        ({"even": EVEN, "loop": LOOP, "all": [1] * 12}, None, "all is 1 for every training picture"),
        ({"even": EVEN, "none": [0] * 12}, None, r"none is 0 for every training picture.*: leave out 1 label$"),
        ({"even": EVEN, "loop": LOOP, "label": ["x", "y"] * 6}, None, "has a column label and columns of 0 and 1"),
        ({"even": EVEN, "loop": LOOP}, ["even", "even"], "--classes names even twice"),
        ({"even": EVEN, "loop": LOOP}, ["even", "lop"], "unknown label in --classes 'lop'"),
    ],
)
def test_faults_are_told_in_one_line(make, columns, classes, told, tmp_path):
    with pytest.raises(UserError, match=told) as error:
        open_data(make(tmp_path, columns), classes=classes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("last", "classes", "told"),
    [
        ("", None, "column even holds empty cells besides 0 and 1"),
        ("maybe", ["even", "loop"], "row 11 of train holds maybe"),
    ],
)
def test_cells_that_are_missing_or_words(last, classes, told, tmp_path):
    path = csv_of(tmp_path, {"even": [*EVEN[:-1], last], "loop": LOOP, "big": EVEN})
    with pytest.raises(UserError, match=told):
        open_data(path, classes=classes)


def test_a_split_lacks_a_column(tmp_path):
    parquet_of(tmp_path, {"even": EVEN, "loop": LOOP}, "birds-train.parquet")
    parquet_of(tmp_path, {"even": EVEN}, "birds-test.parquet")
    with pytest.raises(UserError, match="the test table has no column loop as the train table has"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.stack([EVEN, [2] * 12], 1), r"^y of train holds 2: labels of shape \(n, classes\) are 0 and 1$"),
        (np.stack([EVEN, [np.nan] * 12], 1), "y of train holds nan"),
        (np.eye(12), "give one label per picture"),
        (np.array([["yes", "no"]] * 12), "y of train holds yes"),
        (np.stack([EVEN, [1] * 12], 1), "1 is 1 for every training picture"),
    ],
)
def test_faults_of_arrays_are_told_in_one_line(labels, told, rng):
    with pytest.raises(UserError, match=told):
        open_data((rng.integers(0, 256, (12, 8, 8)).astype(np.uint8), labels))


def test_splits_of_arrays_have_the_same_labels(rng):
    pictures, labels = rng.integers(0, 256, (12, 8, 8)).astype(np.uint8), np.stack([EVEN, LOOP], 1)
    three = np.stack([EVEN, LOOP, EVEN], 1)
    with pytest.raises(UserError, match=r"y of test has shape \(12, 3\): the training pictures have 2 columns"):
        open_data({"train": (pictures, labels), "test": (pictures, three)})
    with pytest.raises(UserError, match="--classes names 3 classes, and there are 2 labels"):
        open_data((pictures, labels), classes=["a", "b", "c"])


def test_rare_labels_are_in_every_split(rng):
    """The shares of 12 labels, the rarest of 6 pictures in 1,000, are near those of the cut."""
    often = np.geomspace(0.006, 0.6, 12)
    labels = (rng.random((1000, 12)) < often).astype(np.uint8)
    labels[:6, 0], labels[6:, 0] = 1, 0
    dataset = open_data((rng.integers(0, 256, (1000, 8, 8)).astype(np.uint8), labels), seed=3)
    for split, share in (("val", 0.16), ("test", 0.2)):
        counts, wanted = labels[dataset.splits[split]].sum(0), share * labels.sum(0)
        assert (counts > 0).all()
        assert (np.abs(counts - wanted) <= np.maximum(2, 0.35 * wanted)).all()


def test_the_rarest_label_of_each_picture():
    assert rarest(["110", "010", "000", "111", "010"]) == ["0", "1", "", "2", "1"]


def test_copies_under_other_labels_stay_in_train(rng):
    pictures = rng.integers(0, 256, (40, 8, 8)).astype(np.uint8)
    pictures[30:] = pictures[:10]
    labels = rng.integers(0, 2, (40, 3))
    labels[:10], labels[30:] = [1, 0, 0], [1, 0, 1]
    dataset = open_data((pictures, labels))
    assert {*range(10), *range(30, 40)} <= set(dataset.splits["train"].tolist())
    assert "under two labels" in "\n".join(dataset.summary())
