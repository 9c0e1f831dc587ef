from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from naturalize.data import open_data
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
        ((COLOUR, Y / 2), "floats"),
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
