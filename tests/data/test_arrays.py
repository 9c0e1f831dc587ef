from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pictures import colours, deep_png
from PIL import Image

from naturalize.data import open_data, read_picture
from naturalize.errors import UserError

COLOUR: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
GREY: NDArray[np.uint8] = COLOUR[..., 0]
SEE_THROUGH: NDArray[np.uint8] = np.full((12, 6, 5, 1), 255, np.uint8)
SEE_THROUGH[:, :, 0] = 0
Y = np.arange(12) % 2


def pixels(X: Any) -> NDArray[np.uint8]:
    dataset = open_data((X, Y))
    return np.stack([dataset.pixels(index) for index in range(len(dataset.labels))])


@pytest.mark.parametrize(
    ("X", "right"),
    [
        (GREY, GREY[..., None]),
        (GREY[..., None], GREY[..., None]),
        (GREY[:, None], GREY[..., None]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (COLOUR.astype(np.int64), COLOUR),
        (COLOUR.astype(np.float32), COLOUR),
        (COLOUR / 255, COLOUR),
        (GREY.astype(np.uint16) * 257, GREY[..., None]),
        (GREY > 127, 255 * (GREY > 127)[..., None]),
        (list(COLOUR), COLOUR),
        (np.concatenate([COLOUR, np.full((12, 6, 5, 1), 255, np.uint8)], -1), COLOUR),
        (np.concatenate([COLOUR, SEE_THROUGH], -1), np.where(SEE_THROUGH, COLOUR, 255)),
    ],
)
def test_D34_one_rule_for_shapes_and_ranges(X: NDArray[Any], right: NDArray[Any]) -> None:
    with np.errstate(all="raise"):
        seen = pixels(X)
    assert seen.tolist() == right.tolist()


@pytest.mark.parametrize(
    ("X", "says"),
    [
        (GREY.astype(np.float32) - 128, "float32 from -128 to 126"),
        (GREY / 16, "which leaves open what white is"),
        (GREY * np.nan, "which leaves open what white is"),
        (GREY.astype(np.uint16), "uint16 from 0 to 254"),
        (GREY.astype(np.int64) // 16, "int64 from 0 to 15"),
        (GREY.astype(np.int64) * 2, "which leaves open what white is"),
        (GREY.astype(complex), "complex128"),
        (GREY[:, 0], "has shape"),
        (COLOUR[..., :2], r"has shape \(6, 5, 2\)"),
        (np.zeros((12, 3, 5, 3), np.uint8), r"may be \(H, W, c\) or \(c, H, W\)"),
        (GREY[:, :0], "has shape"),
        ([GREY[0], COLOUR[0] / 255] * 6, "mixes types"),
    ],
)
def test_D34_what_could_be_two_things_is_refused(X: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_data((X, Y))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ((COLOUR, Y[:5]), "12 pictures but 5 labels"),
        ((COLOUR, np.eye(12)), "one label per picture"),
        ((COLOUR, Y / 2), "y of train\\[1\\] is 0.5: a class is a whole number or a name"),
        ((COLOUR,), "a pair"),
        ({"test": (COLOUR, Y)}, "without 'train'"),
        ({"train": (COLOUR, Y), "holdout": (COLOUR, Y)}, "'holdout'"),
        ((COLOUR, np.zeros(12, int)), "one class only"),
        ((COLOUR[:0], Y[:0]), "no labelled pictures"),
        (7, "type int"),
        ("arrays", "pass the same arrays again"),
    ],
)
def test_arrays_that_do_not_fit_are_named(source: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_data(source)


def test_arrays_by_split_and_names_of_classes() -> None:
    names = np.array(["cat", "dog"])[Y]
    dataset = open_data({"train": (COLOUR, names), "valid": (255 - COLOUR[:6], names[:6]), "test": (COLOUR, names)})
    assert dataset.given == {"train": 12, "val": 6, "test": 12}
    assert dataset.class_names == ("cat", "dog")
    assert dataset.paths[12] == "val[0]"
    dataset.scan_test()
    assert "12 pictures of test also in another split" in "\n".join(dataset.summary())


def test_pictures_of_differing_size_come_as_a_list() -> None:
    dataset = open_data(([COLOUR[0, :2], *COLOUR[1:]], Y))
    assert dataset.pixels(0).shape == (2, 5, 3)


def test_digits_are_built_in() -> None:
    dataset = open_data("digits")
    assert dataset.class_names == tuple("0123456789")
    assert len(dataset.labels) == 1797
    assert (dataset.channels, dataset.side, dataset.source) == (1, 8, "digits")
    assert max(dataset.pixels(index).max() for index in range(20)) == 255


def test_a_folder_called_digits_is_mentioned(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "write ./digits for the folder" in "\n".join(open_data("digits").summary())


@pytest.mark.parametrize("missing", [None, float("nan"), "", " ", pd.NA, pd.NaT])
def test_N13_a_missing_label_is_counted_and_no_class(missing: Any) -> None:
    names = [["cat", "dog"][label] for label in Y]
    dataset = open_data((COLOUR, [*names[:-1], missing]))
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.labels) == 11
    assert "1 picture without a label, skipped: train[11]" in "\n".join(dataset.summary())
    assert dataset.pixels(10).tolist() == COLOUR[10].tolist()


def test_N13_numbers_among_which_one_is_missing_stay_whole() -> None:
    dataset = open_data((COLOUR, pd.Series([*Y[:-1].tolist(), None])))
    assert dataset.class_names == ("0", "1")
    assert len(dataset.labels) == 11


def test_N13_bytes_are_names() -> None:
    assert open_data((COLOUR, np.array([b"cat", b"dog"])[Y])).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("one", "other"), [("val", "valid"), ("dev", "Validation"), ("test", "testing"), ("val", "Val")]
)
def test_N13_two_splits_of_one_meaning_are_refused(one: str, other: str) -> None:
    with pytest.raises(UserError, match=f"holds {one} and {other}, both of which mean (val|test): keep one"):
        open_data({"train": (COLOUR, Y), one: (COLOUR, Y), other: (COLOUR, Y)})


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_N13_a_masked_label_is_missing(names: bool, listed: bool) -> None:
    y = np.ma.masked_array(np.array(["cat", "dog"])[Y] if names else Y, mask=[False] * 10 + [True] * 2)
    dataset = open_data((COLOUR, list(y) if listed else y))
    assert dataset.class_names == (("cat", "dog") if names else ("0", "1"))
    assert len(dataset.labels) == 10
    assert "2 pictures without a label, skipped: train[10], train[11]" in "\n".join(dataset.summary())


@pytest.mark.parametrize(
    "y", [[["cat"], ["dog"]] * 6, [["cat"], ["cat", "dog"]] * 6, "catdogcatdog", set("abcdefghijkl"), 7]
)
def test_N13_labels_that_are_not_one_a_picture_are_refused(y: Any) -> None:
    with pytest.raises(UserError, match=r"^y of train: give one label per picture, shape \(n,\)$"):
        open_data((COLOUR, y))


def test_N13_a_broken_picture_among_objects_is_named() -> None:
    X = np.empty(12, dtype=object)
    X[:] = list(COLOUR)
    X[3] = None
    with pytest.raises(UserError, match=r"X of train\[3\] has shape \(\)"):
        open_data((X, Y))


@pytest.mark.parametrize("mode", ["P", "HSV", "YCbCr", "CMYK", "LA", "RGBA", "1", "I;16"])
def test_N15_pillows_pictures_are_read_as_files_of_them(mode: str, tmp_path: Any) -> None:
    grey = mode in ("1", "I;16", "LA")
    plain = [Image.fromarray(GREY[row] if grey else COLOUR[row]) for row in range(12)]
    if mode == "I;16":
        pictures = [Image.fromarray(GREY[row].astype(np.uint16) * 257) for row in range(12)]
    else:
        pictures = [picture.convert(mode) for picture in plain]
    dataset = open_data((pictures, Y))
    for row in (0, 7):
        right = pictures[row].convert("L" if grey else "RGB") if mode != "I;16" else plain[row]
        assert dataset.pixels(row).squeeze().tolist() == np.asarray(right).tolist()


@pytest.mark.parametrize("mode", ["P", "CMYK", "LA"])
def test_N15_a_tuple_of_pictures_is_read_as_a_list_of_them(mode: str) -> None:
    pictures = [Image.fromarray(values).convert(mode) for values in COLOUR]
    assert open_data((tuple(pictures), Y)).fingerprint == open_data((pictures, Y)).fingerprint


def test_N15_a_tuple_of_arrays_of_differing_size_is_read() -> None:
    arrays = [COLOUR[0, :2], *COLOUR[1:]]
    assert open_data((tuple(arrays), Y)).fingerprint == open_data((arrays, Y)).fingerprint


def test_N15_numbers_in_lists_are_read() -> None:
    listed = [COLOUR[0, :2].tolist(), *COLOUR[1:].tolist()]
    assert open_data((listed, Y)).fingerprint == open_data(([COLOUR[0, :2], *COLOUR[1:]], Y)).fingerprint


@pytest.mark.parametrize(
    ("X", "says"),
    [
        ([[[0, 255], [255]]] * 12, r"X of train\[0\] cannot be made an array"),
        (np.array([[[0, 255], [255]], None] * 6, dtype=object), r"X of train\[0\] cannot be made an array"),
        ([[0, 255]] * 12, r"X of train\[0\] has shape \(2,\)"),
        (iter(COLOUR), "X of train holds no pictures"),
        (np.ma.masked_equal(GREY, GREY[0, 0, 0]), "X of train is masked in places"),
        ([*GREY[:11], np.ma.masked_equal(GREY[11], GREY[11, 0, 0])], r"X of train\[11\] is masked in places"),
    ],
)
def test_N13_what_is_no_array_is_told_in_one_line(X: Any, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        open_data((X, Y))
    assert "\n" not in str(caught.value)


def cut_short(tmp_path: Path, number: int) -> Image.Image:
    """A picture that Pillow opened and has not read yet, which its file does not hold whole."""
    path = tmp_path / f"short{number}.png"
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    return Image.open(path)


def test_N15_a_picture_that_cannot_be_decoded_is_skipped_as_its_file_would_be(tmp_path: Path) -> None:
    pictures = [Image.fromarray(values) for values in COLOUR]
    dataset = open_data(([*pictures, cut_short(tmp_path, 0)], [*Y, 0]))
    assert len(dataset.labels) == 12
    assert "1 unreadable picture skipped: train[12] (damaged (" in "\n".join(dataset.summary())
    with pytest.raises(UserError, match="4 of 16 pictures cannot be read, too many to go on"):
        open_data(([*pictures, *(cut_short(tmp_path, number) for number in range(4))], [*Y, *Y[:4]]))


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
@pytest.mark.parametrize("bits", [12, 16])
def test_N16_a_picture_of_sixteen_bits_that_pillow_opened_is_judged_as_its_file(
    tmp_path: Path, suffix: str, bits: int
) -> None:
    paths = [tmp_path / f"{row}.{suffix}" for row in range(12)]
    for row, path in enumerate(paths):
        Image.fromarray(np.roll(colours(bits)[..., 0], row)).save(path)
    pictures = [Image.open(path) for path in paths]
    if bits == 12:
        with pytest.raises(UserError, match="leave open what white is"):
            open_data((pictures, Y))
        return
    dataset = open_data((pictures, Y))
    for row, path in enumerate(paths):
        assert dataset.pixels(row).squeeze().tolist() == np.asarray(read_picture(path)).tolist()


def test_N16_colours_of_sixteen_bits_are_judged_also_when_they_are_given_again(tmp_path: Path) -> None:
    for row in range(12):
        (tmp_path / f"{row}.png").write_bytes(deep_png(np.roll(colours(12), row)))
    pictures = [Image.open(tmp_path / f"{row}.png") for row in range(12)]
    for _ in range(2):
        with pytest.raises(UserError, match="leave open what white is"):
            open_data((pictures, Y))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_N16_sixteen_bits_of_which_few_are_used_are_refused(bits: int) -> None:
    X = (GREY.astype(np.uint16) << 8) >> (16 - bits)
    with pytest.raises(UserError, match="leaves open what white is"):
        open_data((X, Y))


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_N16_a_dark_array_among_others_is_read_in_any_byte_order(order: str) -> None:
    X = GREY.astype(np.uint16) * 257
    X[3] = 300 * (GREY[3] > 127)
    assert pixels(X.astype(order))[3].max() == 1


def test_N16_a_low_range_in_the_other_byte_order_is_refused_too() -> None:
    with pytest.raises(UserError, match="uint16 from 0 to 254, which leaves open what white is"):
        open_data((GREY.astype(">u2"), Y))


@pytest.mark.parametrize(("kind", "low", "high"), [(np.float32, 1, 255), (np.uint16, 255, 65535)])
@pytest.mark.parametrize("other", ["train", "val"])
def test_N16_splits_of_different_ranges_are_refused(kind: Any, low: float, high: float, other: str) -> None:
    noise = np.random.default_rng(0).random((2, 12, 8, 8))
    noise[:, 0, 0, 0] = 1
    pairs = {
        split: ((high * part).astype(kind), list("abc") * 4)
        for split, part in zip(("train", "val"), noise, strict=True)
    }
    assert len(open_data(pairs).paths) == 24
    pairs[other] = ((low * noise[0]).astype(kind), pairs[other][1])
    with pytest.raises(UserError, match=f"X of {other} goes up to {low} where others go up to {high}"):
        open_data(pairs)


@pytest.mark.parametrize("kind", [np.uint8, np.bool_])
def test_N16_a_dark_split_of_a_type_that_says_its_range_is_taken(kind: Any) -> None:
    bright = np.random.default_rng(0).integers(0, 2, (12, 8, 8)).astype(kind)
    dark = np.zeros((6, 8, 8), kind)
    dark[:, 0, :6] = np.eye(6)
    assert len(open_data({"train": (bright, list("abc") * 4), "val": (dark, list("abc") * 2)}).paths) == 18


def test_N13_a_label_that_is_missing_in_a_column_of_chunks_is_no_class() -> None:
    labels = pa.chunked_array([["cat", None, "dog"], ["dog", "cat", "cat"] * 5])
    dataset = open_data((np.random.default_rng(0).integers(0, 256, (18, 8, 8), dtype=np.uint8), labels))
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.paths) == 17
