"""CSV and TSV files of paths and labels."""

from pathlib import Path

import numpy as np
import pytest
from pictures import Fx
from PIL import Image
from published import check_files, texts

from naturalize.data import open_data
from naturalize.errors import UserError


def rows_of(root: Path) -> list[tuple[str, str]]:
    """Path and class of every picture of `fx`, not in order."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    return [(path, path.split("/")[0]) for path in paths[1:] + paths[:1]]


@pytest.mark.parametrize(
    ("name", "mark", "header"),
    [
        ("a.csv", ",", "path,label"),
        ("a.csv", ",", "\ufeffimage,class"),
        ("a.tsv", "\t", "filename\tcategory"),
        ("a.csv", ";", " file ; Target "),
        ("a.csv", ", ", None),
        ("A.CSV", ",", "id,species"),
    ],
)
def test_paths_and_labels_are_those_of_the_lines(name: str, mark: str, header: str | None, fx: Fx) -> None:
    root = fx("photos", 5, "007", "a b")
    rows = rows_of(root)
    lines = [] if header is None else [header]
    (root / name).write_text("\n".join([*lines, *(f"{path}{mark}{label}" for path, label in rows)]), encoding="utf-8")
    dataset = open_data(root / name)
    check_files(root, dataset, {"train": rows})
    assert dataset.class_names == ("007", "a b")
    assert open_data(dataset.source).fingerprint == dataset.fingerprint


@pytest.mark.parametrize("header", ["path,label,Split\n", ""])
def test_a_split_column_is_obeyed(header: str, fx: Fx) -> None:
    root = fx("photos", 6, "cat", "dog")
    split_of = ["train", "valid", "test", "train", "TRAIN", "train"]
    rows = [(path, label, split_of[number % 6]) for number, (path, label) in enumerate(rows_of(root))]
    (root / "set.csv").write_text(header + "".join(f"{path},{label},{split}\n" for path, label, split in rows))
    given = {"train": ("train", "TRAIN"), "val": ("valid",), "test": ("test",)}
    splits = {split: [row[:2] for row in rows if row[2] in words] for split, words in given.items()}
    check_files(root, open_data(root / "set.csv"), splits)


def test_lines_without_label_and_columns_of_other_things_are_left(fx: Fx) -> None:
    root = fx("photos", 4, "cat", "dog")
    rows = rows_of(root)
    lines = [f"{number},{path},{label if number else ''},x\n" for number, (path, label) in enumerate(rows)]
    (root / "set.csv").write_text(",path,label,remark\n" + "".join(lines))
    dataset = open_data(root / "set.csv")
    check_files(root, dataset, {"train": rows[1:]})
    assert f"1 picture without a label, skipped: {rows[0][0]}" in texts(dataset)


def test_paths_may_be_written_in_several_ways(fx: Fx) -> None:
    root = fx("photos", 4, "猫", "d,g")
    rows = rows_of(root)
    ways = (str(root / rows[0][0]), f"./{rows[1][0]}", *(path for path, _ in rows[2:]))
    lines = [f'"{way}","{label}"\n' for way, (_, label) in zip(ways, rows, strict=True)]
    (root / "set.csv").write_text("path,label\n" + "".join(lines), encoding="utf-8")
    check_files(root, open_data(root / "set.csv"), {"train": rows})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"begins with '': give a line a picture, as PATH,LABEL"),
        ("path,label\n", r"has no line beside its header"),
        ("path\ncat/000.jpg\n", r"begins with 'path': give a line a picture"),
        ("cat/000.jpg,train\ncat/001.jpg,test\ndog/000.jpg,train\ndog/009.jpg,test\n", r"names dog/009.jpg, not found"),
        ("path," + "x" * 200_000 + "\n", r"cannot be read as UTF-8 text: field larger than"),
        ("path,label\ncat/000.jpg,cat\ncat/009.jpg,cat\n", r"set.csv names cat/009.jpg, not found in .*: unpack"),
        ("path,label\ncat/000.jpg,cat\n./cat/000.jpg,dog\n", r"set.csv names cat/000.jpg twice: a picture stands in"),
        (
            "path,label,split\ncat/000.jpg,cat,train\ncat/000.jpg,cat,test\n",
            r"set.csv names cat/000.jpg twice: a picture stands in",
        ),
        ("path,label\n../out.jpg,cat\n", r"names ../out.jpg, which leads out of .*photos: correct it"),
        ("path,label\n/etc/passwd.jpg,cat\n", r"names /etc/passwd.jpg, which leads out of"),
        ("path,label\ncat/000.jpg,cat,dog\n", r"cannot be read as a table: CSV parse error: Expected 2 columns, got 3"),
        ("path,path\ncat/000.jpg,cat\n", r"has two columns path: rename one"),
        ("path,label,split\ncat/000.jpg,cat,fold1\n", r"split is fold1: it may be train, val, test"),
        ("a,b\n1,2\n", r"has no column of pictures \(its columns are a, b\)"),
        ("path,a,b\ncat/000.jpg,1,2\n", r"several columns that could be the labels \(a, b\)"),
        (b"path,label\ncat/000.jpg,caf\xe9\n", r"cannot be read as UTF-8|cannot be read as a table: .*invalid UTF8"),
        ("path,label\ncat/0\0.jpg,cat\n", r"not found"),
    ],
)
def test_files_that_cannot_be_used_are_told_in_one_line(content: str | bytes, says: str, fx: Fx) -> None:
    root = fx("photos", 3, "cat", "dog")
    Image.new("RGB", (8, 8)).save(root.parent / "out.jpg")
    (root / "set.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=says) as told:
        open_data(root / "set.csv")
    assert "\n" not in str(told.value)


def test_links_that_lead_out_of_the_folder_are_refused(fx: Fx) -> None:
    root = fx("photos", 3, "cat", "dog")
    away = fx("away", 1, "owl")
    (root / "cat" / "link.jpg").symlink_to("../dog/000.jpg")
    (root / "out").symlink_to(away / "owl")
    (root / "dog" / "out.jpg").symlink_to(away / "owl" / "000.jpg")
    lines = ["path,label", "cat/000.jpg,cat", "cat/link.jpg,cat", "dog/001.jpg,dog", "dog/002.jpg,dog"]
    (root / "set.csv").write_text("\n".join(lines))
    dataset = open_data(root / "set.csv")
    assert np.bincount(dataset.labels).tolist() == [2, 2]
    for path in ("out/000.jpg", "dog/out.jpg"):
        (root / "set.csv").write_text("\n".join([*lines, f"{path},owl"]))
        with pytest.raises(UserError, match=f"names {path}, which leads out of"):
            open_data(root / "set.csv")
