import base64
import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from pictures import SHARED, needs_shared, picture

from naturalize.data import UnreadablePicture, open_data
from naturalize.data.readers import tables
from naturalize.errors import UserError


def jpeg(class_name: str, number: int) -> bytes:
    buffer = io.BytesIO()
    picture(class_name, number).save(buffer, "JPEG")
    return buffer.getvalue()


LABELS = ["cat", "dog"] * 4
JPEGS = [jpeg(name, index) for index, name in enumerate(LABELS)]


def write(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def write_images(path: Path, names: list[str], labels: list[int]) -> Path:
    """As Hugging Face `datasets` writes it, with the names of a ClassLabel."""
    rows = {"image": [picture(names[label], index) for index, label in enumerate(labels)], "label": labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, Features(image=Image(), label=ClassLabel(names=names))).to_parquet(path)
    return path


def test_D33_bytes_paths_and_plain_binary_are_read_alike(tmp_path: Path) -> None:
    for index, content in enumerate(JPEGS):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{index}.jpg").write_bytes(content)
    paths = [f"images/{index}.jpg" for index in range(len(JPEGS))]
    columns: dict[str, list[Any]] = {
        "bytes": [{"bytes": content} for content in JPEGS],
        "path": [{"path": path} for path in paths],
        "null": [{"bytes": None, "path": path} for path in paths],
        "empty": [{"bytes": b"", "path": path} for path in paths],
        "binary": list(JPEGS),
        "text": list(paths),
    }
    opened = [
        open_data(write(tmp_path / f"{name}.parquet", image=column, label=LABELS)) for name, column in columns.items()
    ]
    for dataset in opened:
        assert dataset.class_names == ("cat", "dog")
        assert len(dataset.labels) == len(JPEGS)
    assert len({dataset.fingerprint for dataset in opened}) == 1


def test_D33_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    images = [{"bytes": content, "path": None} for content in [*JPEGS, *JPEGS]]
    images[3]["bytes"] = None  # type: ignore[assignment]
    images[5] = None  # type: ignore[call-overload]
    labels: list[str | None] = [*LABELS, *LABELS]
    labels[0] = None
    dataset = open_data(write(tmp_path / "x.parquet", image=images, label=labels))
    assert len(dataset.labels) == 16 - 3
    noted = {path for note in dataset.notes if note.kind == "skipped" for path in note.paths}
    assert noted == {"train[0]", "train[3]", "train[5]"}


def test_a_missing_file_of_a_row_is_named(tmp_path: Path) -> None:
    rows = [{"bytes": content, "path": ""} for content in JPEGS] + [{"bytes": None, "path": "gone.jpg"}]
    dataset = open_data(write(tmp_path / "x.parquet", image=rows, label=[*LABELS, "cat"]))
    assert "train[8] (gone.jpg) (no such file)" in "\n".join(dataset.summary())


def test_names_of_a_classlabel_keep_their_order(tmp_path: Path) -> None:
    path = write_images(tmp_path / "x.parquet", ["zebra", "ant", "bee"], [0, 1, 0, 1, 0, 1])
    dataset = open_data(path)
    assert dataset.class_names == ("zebra", "ant")
    assert "1 class without pictures left out: bee" in "\n".join(dataset.summary())
    assert open_data(path, classes=["bee", "ant", "zebra"]).class_names == ("bee", "ant", "zebra")


def test_D01_a_test_table_that_numbers_classes_otherwise_is_matched_by_name(tmp_path: Path) -> None:
    write_images(tmp_path / "x-train.parquet", ["cat", "dog"], [0, 1] * 5)
    test = write_images(tmp_path / "x-test.parquet", ["dog", "cat"], [0, 0, 0, 1])
    assert open_data(tmp_path / "x").counts()["test"] == {"cat": 1, "dog": 3}
    write_images(test, ["dog", "owl"], [0, 1])
    with pytest.raises(UserError, match="test holds owl, which train does not"):
        open_data(tmp_path / "x")


@pytest.mark.parametrize("labels", [[1, 10, 2, 1, 10, 2], [1.0, 10.0, 2.0, 1.0, 10.0, 2.0], ["1", "10", "2"] * 2])
def test_labels_without_names_are_in_natural_order(tmp_path: Path, labels: list[Any]) -> None:
    assert open_data(write(tmp_path / "x.parquet", img=JPEGS[:6], y=labels)).class_names == ("1", "2", "10")


def test_categories_of_pandas_are_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", image=JPEGS, label=pa.array(LABELS).dictionary_encode())
    assert open_data(path).class_names == ("cat", "dog")


@pytest.mark.parametrize("form", ["x-train.parquet", "x", ".", "x-train.parquet alone"])
def test_D06_the_test_table_beside_a_train_table_is_used_and_said(tmp_path: Path, form: str) -> None:
    write_images(tmp_path / "x-train.parquet", ["cat", "dog"], [0, 1] * 10)
    if "alone" in form:
        write_images(tmp_path / "xy-test.parquet", ["cat", "dog"], [0, 1] * 4)
        dataset = open_data(tmp_path / "x-train.parquet")
        assert not dataset.given_test
        return
    write_images(tmp_path / "x-test.parquet", ["cat", "dog"], [0, 1] * 4)
    write_images(tmp_path / "x-validation.parquet", ["cat", "dog"], [0, 1] * 3)
    dataset = open_data(tmp_path / form)
    assert dataset.given == {"train": 20, "val": 6, "test": 8}
    assert ("beside x-train.parquet taken as well" in "\n".join(dataset.summary())) == (form == "x-train.parquet")


def test_D06_pictures_of_a_given_test_table_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "x-train.parquet", ["cat", "dog"], [0, 1] * 5)
    write_images(tmp_path / "x-test.parquet", ["cat", "dog"], [0, 1] * 4)
    asked: list[tuple[str, str]] = []
    column = tables._File.column
    monkeypatch.setattr(
        tables._File, "column", lambda self, name: asked.append((self.path.name, name)) or column(self, name)
    )
    dataset = open_data(tmp_path / "x-train.parquet")
    assert set(asked) == {("x-train.parquet", "label"), ("x-train.parquet", "image"), ("x-test.parquet", "label")}
    dataset.scan_test()
    assert ("x-test.parquet", "image") in asked


def test_shards_and_folders_name_splits(tmp_path: Path) -> None:
    for split, number in (("train", 2), ("test", 1)):
        for shard in range(number):
            name = f"{split}-0000{shard}-of-0000{number}.parquet"
            write_images(tmp_path / "repo" / "data" / name, ["cat", "dog"], [0, 1] * 4)
            write_images(tmp_path / "converted" / split / f"000{shard}.parquet", ["cat", "dog"], [0, 1] * 4)
    for folder in ("repo", "converted"):
        dataset = open_data(tmp_path / folder)
        assert dataset.given == {"train": 16, "test": 8}
        assert dataset.name == folder
    assert open_data(tmp_path / "repo" / "data" / "train-00000-of-00002.parquet").given == {"train": 16, "test": 8}


def test_arrow_files_of_save_to_disk_are_read(tmp_path: Path) -> None:
    parts = {
        split: Dataset.from_parquet(str(write_images(tmp_path / f"{split}.parquet", ["cat", "dog"], [0, 1] * 4)))
        for split in ("train", "test")
    }
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    dataset = open_data(tmp_path / "saved")
    assert dataset.given == {"train": 8, "test": 8}
    assert dataset.class_names == ("cat", "dog")


def test_several_data_sets_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    write_images(tmp_path / "x-train.parquet", ["cat", "dog"], [0, 1] * 4)
    write_images(tmp_path / "y-train.parquet", ["cat", "dog"], [0, 1] * 4)
    with pytest.raises(UserError, match=r"several data sets \(x, y\): name one, as .*x"):
        open_data(tmp_path)
    (tmp_path / "y-train.parquet").rename(tmp_path / "train.parquet")
    with pytest.raises(UserError, match=r"several data sets \(train\.parquet, x\): name one, as .*train\.parquet"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"a": JPEGS, "b": JPEGS, "label": LABELS}, r"several columns that could be the pictures \(a, b\)"),
        ({"image": JPEGS, "x": LABELS, "y": LABELS}, r"several columns that could be the labels \(x, y\): rename"),
        ({"image": JPEGS}, r"no column of labels \(its columns are image\)"),
        ({"label": LABELS}, r"no column of pictures"),
        ({"image": JPEGS, "label": [0.5] * 8}, "a class is a whole number or a name"),
    ],
)
def test_columns_that_are_not_clear_are_refused(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_data(write(tmp_path / "x.parquet", **columns))


def test_usual_names_decide_between_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", image=JPEGS, thumbnail=JPEGS, label=LABELS, width=[64] * 8)
    assert open_data(path).class_names == ("cat", "dog")


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    for suffix in ("parquet", "arrow"):
        (tmp_path / f"x.{suffix}").write_bytes(b"no table at all")
        with pytest.raises(UserError, match=f"x.{suffix} cannot be read as a table"):
            open_data(tmp_path / f"x.{suffix}")


def test_a_table_larger_than_the_memory_is_mapped_from_the_download_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_images(tmp_path / "x.parquet", ["cat", "dog"], [0, 1] * 4)
    before = open_data(path).fingerprint
    monkeypatch.setattr(tables, "pixel_budget", lambda: 0)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert open_data(path).fingerprint == before
    shutil.rmtree(tmp_path / "cache")


@needs_shared
def test_masks_are_no_labels() -> None:
    dataset = open_data(SHARED / "camvid-train.parquet")
    assert dataset.meaning is not None
    assert dataset.meaning.values == tuple(range(12))  # 11 is void, which nothing in the file says


@needs_shared
def test_D36_the_copy_in_oxford_pets_stays_on_one_side() -> None:
    dataset = open_data(SHARED / "oxford_pets-train.parquet")
    assert dataset.given == {"train": 1480, "test": 370}
    [copies] = [note.paths for note in dataset.notes if note.kind == "duplicate"]
    assert len(copies) == 1


def test_N17_shards_of_which_one_has_names_and_one_has_numbers_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "pets-train-00000-of-00002.parquet", ["cat", "dog"], [0, 1] * 4)
    pictures = [{"bytes": content} for content in JPEGS]
    write(tmp_path / "pets-train-00001-of-00002.parquet", image=pictures, label=[0, 1] * 4)
    with pytest.raises(UserError, match=r"label holds names in one table .* and numbers in another"):
        open_data(tmp_path)


def test_N17_text_beside_numbers_is_refused_too(tmp_path: Path) -> None:
    write(tmp_path / "pets-train.parquet", image=list(JPEGS), label=LABELS)
    write(tmp_path / "pets-test.parquet", image=list(JPEGS), label=[0, 1] * 4)
    with pytest.raises(UserError, match="names in one table"):
        open_data(tmp_path)


def test_N17_two_columns_of_one_name_are_named(tmp_path: Path) -> None:
    columns = [pa.array(values) for values in (JPEGS, LABELS, LABELS)]
    table = pa.Table.from_arrays(columns, names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "dup.parquet")
    with pytest.raises(UserError, match="two columns label: rename one"):
        open_data(tmp_path / "dup.parquet")


def test_N17_a_split_column_is_obeyed(tmp_path: Path) -> None:
    splits = ["train"] * 4 + ["validation"] * 2 + ["TEST"] * 2
    path = write(tmp_path / "pets.parquet", image=list(JPEGS), label=LABELS, split=splits)
    dataset = open_data(path)
    assert dataset.given == {"train": 4, "val": 2, "test": 2}
    assert dataset.paths == ("train[0]", "train[1]", "train[2]", "train[3]", "val[0]", "val[1]", "test[0]", "test[1]")
    dataset.scan_test()
    assert [dataset.class_names[label] for label in dataset.labels] == LABELS
    whole = open_data(write(tmp_path / "all" / "pets.parquet", image=list(JPEGS), label=LABELS))
    assert dataset.pixels(6).tolist() == whole.pixels(6).tolist()


@pytest.mark.parametrize(
    ("name", "splits", "words"),
    [
        ("pets.parquet", ["a", "b"] * 4, "split is a, b: it may be train, val, test"),
        ("pets-test.parquet", ["train"] * 8, "the test table holds rows whose split is another"),
    ],
)
def test_N17_a_split_column_that_says_something_else_is_refused(
    tmp_path: Path, name: str, splits: list[str], words: str
) -> None:
    write(tmp_path / "pets-train.parquet", image=list(JPEGS), label=LABELS)
    write(tmp_path / name, image=list(JPEGS), label=LABELS, split=splits)
    with pytest.raises(UserError, match=words):
        open_data(tmp_path / "pets.parquet" if name == "pets.parquet" else tmp_path)


def test_N17_pictures_as_text_are_told_in_a_short_line(tmp_path: Path) -> None:
    encoded = [base64.b64encode(content).decode() for content in JPEGS]
    path = write(tmp_path / "pets.parquet", image=encoded, label=LABELS)
    with pytest.raises(UserError) as caught:
        open_data(path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("leads", ["../out.jpg", "{}/out.jpg"])
def test_C14_paths_that_leave_the_tables_folder_are_refused(tmp_path: Path, leads: str) -> None:
    (tmp_path / "out.jpg").write_bytes(JPEGS[0])
    paths = [leads.format(tmp_path)] * 8
    with pytest.raises(UserError, match="leads out of the table's folder"):
        open_data(write(tmp_path / "data" / "pets.parquet", image=paths, label=LABELS), strict=True)


@pytest.mark.parametrize("inside", [True, False])
def test_C14_a_link_is_judged_by_where_it_leads(tmp_path: Path, inside: bool) -> None:
    data, store = tmp_path / "data", tmp_path / ("data/store" if inside else "store")
    data.mkdir()
    store.mkdir()
    for index, content in enumerate(JPEGS):
        (store / f"{index}.jpg").write_bytes(content)
    (data / "images").symlink_to(store)
    (data / "0.jpg").symlink_to(store / "0.jpg")
    paths = ["0.jpg", *(f"images/{index}.jpg" for index in range(1, 8))]
    path = write(data / "pets.parquet", image=paths, label=LABELS)
    if inside:
        assert len(open_data(path, strict=True).labels) == 8
        return
    with pytest.raises(UserError, match="leads out of the table's folder"):
        open_data(path)


@pytest.mark.parametrize("path", ["circle.jpg", "nul\0.jpg", "new\nline.jpg"])
def test_C14_paths_that_lead_nowhere_are_told_in_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    rows = [{"bytes": content, "path": ""} for content in JPEGS] + [{"bytes": None, "path": path}]
    dataset = open_data(write(tmp_path / "x.parquet", image=rows, label=[*LABELS, "cat"]))
    assert len(dataset.labels) == 8
    [note] = [note for note in dataset.notes if note.paths == (f"train[8] ({path})".encode("unicode_escape").decode(),)]
    assert "\n" not in note.message


def test_C14_a_table_of_the_hub_may_name_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OfTheHub:
        schema = pa.schema({"image": pa.string(), "label": pa.string()})
        size = 1
        folder = None

        def column(self, name: str) -> pa.ChunkedArray:
            return pa.chunked_array([["0.jpg"] * 8 if name == "image" else LABELS])

    (tmp_path / "0.jpg").write_bytes(JPEGS[0])
    monkeypatch.chdir(tmp_path)
    found = tables.found_in("pets", "user/pets", {"train": [OfTheHub()]}, [])
    with pytest.raises(UnreadablePicture, match="leads out of the table's folder"):
        found.parts["train"].open(0, None)


@pytest.mark.parametrize("form", [".", "x", "x-train.parquet"])
@pytest.mark.parametrize(("one", "other"), [("val", "valid"), ("dev", "validation"), ("test", "testing")])
def test_N13_tables_of_two_splits_of_one_meaning_are_refused(tmp_path: Path, form: str, one: str, other: str) -> None:
    for split in ("train", one, other):
        write_images(tmp_path / f"x-{split}.parquet", ["cat", "dog"], [0, 1] * 4)
    with pytest.raises(UserError, match=f"holds {one} and {other}, both of which mean (val|test): keep one"):
        open_data(tmp_path / form)


def test_N13_a_column_with_two_words_for_one_split_is_refused(tmp_path: Path) -> None:
    splits = ["train"] * 4 + ["val", "valid"] * 2
    path = write(tmp_path / "pets.parquet", image=list(JPEGS), label=LABELS, split=splits)
    with pytest.raises(UserError, match="column split holds val and valid, both of which mean val"):
        open_data(path)


CATEGORIES = pa.array(LABELS).dictionary_encode()
NUMBERS = [0, 1] * 4


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (CATEGORIES, NUMBERS, "names in one table .* and numbers in another"),
        (NUMBERS, CATEGORIES, "numbers in one table .* and names in another"),
        (LABELS, pa.array(NUMBERS).dictionary_encode(), "names in one table .* and numbers in another"),
        ([False, True] * 4, NUMBERS, "true and false in one table .* and numbers in another"),
    ],
)
def test_N17_shards_are_judged_by_what_their_labels_are(tmp_path: Path, one: Any, other: Any, says: str) -> None:
    write(tmp_path / "pets-train-00000-of-00002.parquet", image=list(JPEGS), label=one)
    write(tmp_path / "pets-train-00001-of-00002.parquet", image=list(JPEGS), label=other)
    with pytest.raises(UserError, match=says):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        (LABELS, CATEGORIES, ("cat", "dog")),
        (CATEGORIES, LABELS, ("cat", "dog")),
        (NUMBERS, pa.array(NUMBERS).dictionary_encode(), ("0", "1")),
        (NUMBERS, [0.0, 1.0] * 4, ("0", "1")),
    ],
)
def test_N17_shards_of_the_same_labels_in_other_columns_are_one(
    tmp_path: Path, one: Any, other: Any, names: tuple[str, ...]
) -> None:
    write(tmp_path / "pets-train-00000-of-00002.parquet", image=list(JPEGS), label=one)
    write(tmp_path / "pets-train-00001-of-00002.parquet", image=list(JPEGS), label=other)
    dataset = open_data(tmp_path)
    assert dataset.class_names == names
    assert len(dataset.labels) == 16


def test_N17_a_shard_without_any_label_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "pets-train-00000-of-00002.parquet", image=list(JPEGS), label=LABELS)
    write(tmp_path / "pets-train-00001-of-00002.parquet", image=list(JPEGS), label=pa.nulls(8))
    dataset = open_data(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert "8 pictures without a label, skipped" in "\n".join(dataset.summary())


@pytest.mark.parametrize("name", ["Split", "SPLIT"])
def test_N17_a_split_column_is_obeyed_in_any_case(tmp_path: Path, name: str) -> None:
    columns = {"image": list(JPEGS), "label": LABELS, name: ["train"] * 4 + ["val"] * 2 + ["test"] * 2}
    assert open_data(write(tmp_path / "pets.parquet", **columns)).given == {"train": 4, "val": 2, "test": 2}
    columns["split"] = ["train"] * 8
    with pytest.raises(UserError, match=f"has columns {name} and split: rename one"):
        open_data(write(tmp_path / "pets.parquet", **columns))


@pytest.mark.parametrize("leads", ["..", "."])
def test_N19_tables_behind_a_link_back_are_not_taken(tmp_path: Path, leads: str) -> None:
    write(tmp_path / "data" / "pets-train.parquet", image=list(JPEGS), label=LABELS)
    write(tmp_path / "pets-test.parquet", image=list(JPEGS), label=LABELS)
    (tmp_path / "data" / "up").symlink_to(leads)
    assert open_data(tmp_path / "data").given == {"train": 8}


def test_N19_pictures_beside_a_link_to_tables_around_them_are_pictures(tmp_path: Path) -> None:
    write(tmp_path / "pets.parquet", image=list(JPEGS), label=LABELS)
    for index, (name, content) in enumerate(zip(LABELS, JPEGS, strict=True)):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name / f"{index}.jpg").write_bytes(content)
    (tmp_path / "photos" / "cat" / "up").symlink_to("../..")
    assert "cat/0.jpg" in open_data(tmp_path / "photos").paths


def test_a_table_without_rows_is_refused_in_a_line(tmp_path: Path) -> None:
    empty = pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())})
    pq.write_table(empty, tmp_path / "x.parquet")
    with pytest.raises(UserError, match="holds no labelled pictures to train on"):
        open_data(tmp_path / "x.parquet")
