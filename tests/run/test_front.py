"""Which network of a front counts as the most accurate."""

import json
from pathlib import Path

import numpy as np
import pytest

from naturalize.errors import UserError
from naturalize.run.front import finished_under, most_accurate, read_front
from naturalize.run.settings import FACTS, Settings, write_settings


@pytest.mark.parametrize(
    ("errors", "images", "chosen"),
    [
        ([40.0, 9.0, 10.0], 20, 2),  # a standard error is 6.8 points: validation cannot tell them apart
        ([40.0, 9.0, 10.0], 8000, 1),  # 0.3 points: it can
        ([0.0, 0.0, 5.0], 18, 2),  # no error in 18 pictures may well be 5% of all: (0 + 1) / (18 + 2)
        ([0.0, 0.0, 5.0], 200, 1),
        ([7.0, 7.0, 50.0], 100, 1),
    ],
)
def test_the_largest_that_validation_cannot_tell_from_the_best(errors: list[float], images: int, chosen: int) -> None:
    assert most_accurate(errors, [1e6, 2e6, 3e6], [images] * 3) == chosen


def test_the_better_of_equally_large_ones() -> None:
    assert most_accurate([10.0, 9.0, 11.0], [2e6, 2e6, 1e6], [50, 50, 50]) == 1


def test_it_is_more_often_right_than_the_lowest_error_where_pictures_are_few() -> None:
    # true errors fall with size; each is answered on the same 15 pictures, 2,000 times over
    true, madds = np.array([30.0, 25.0, 20.0, 15.0, 10.0]), np.arange(1.0, 6.0)
    draw = np.random.default_rng(0)
    seen = 100.0 * (draw.random((2000, 15, 1)) < true / 100.0).mean(axis=1)
    ours = [true[most_accurate(row.tolist(), madds.tolist(), [15] * 5)] for row in seen]
    lowest = true[seen.argmin(axis=1)]
    assert np.mean(ours) < np.mean(lowest) - 2.0


@pytest.mark.parametrize(
    ("front", "found"),
    [
        ({"state": "stopped", "weights_version": 3, "val_weights_version": 3}, None),
        ({"state": "finished", "weights_version": 3, "val_weights_version": 3, "last_adaptation": False}, (3, False)),
        ({"state": "finished", "weights_version": 4, "val_weights_version": 3, "last_adaptation": True}, (3, True)),
        ({"state": "finished", "weights_version": 3}, (3, True)),  # of an older naturalize
        (None, None),
    ],
)
def test_what_a_front_says_of_its_end(tmp_path, front, found) -> None:
    names = ("architecture", "resolution", "val_error", "val_error_views", "val_images", "test_error", "test_images")
    network = dict.fromkeys((*names, "madds", "params", "weights"), 1)
    text = "{" if front is None else json.dumps({"format": 1, "networks": [network], **front})
    (tmp_path / "front.json").write_text(text, encoding="utf-8")
    assert finished_under(tmp_path) == found


@pytest.mark.parametrize(
    ("goal", "told"),
    [("prepare", "is a prepared supernet, .*--supernet"), ("transfer", "nothing measured yet .*resume")],
)
def test_a_run_without_a_front_says_what_to_do_with_it(goal: str, told: str, tmp_path: Path) -> None:
    facts = {name: {} for name in FACTS}
    write_settings(tmp_path / "run.toml", Settings(data="photos", goal=goal), facts)
    with pytest.raises(UserError, match=told):
        read_front(tmp_path)
