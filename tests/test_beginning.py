"""What a transfer works with follows data, budget and machine."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from naturalize import beginning
from naturalize.beginning import family_for
from naturalize.lifecycle import work
from naturalize.options import make_settings
from naturalize.run import Settings


@pytest.mark.parametrize(
    ("budget_s", "test", "largest"),
    [
        (40.0, 0, 96),  # 150 steps of 64 images: 81 px, but 96 is always there
        (180.0, 0, 160),  # 171 px
        (180.0, 2_000, 128),  # ten times the test split takes two fifths of it: 133 px
        (500.0, 2_000, 208),  # 222 px
        (600.0, 25_000, 96),
        (None, 25_000, 224),
    ],
)
def test_resolutions_leave_time_for_steps_and_for_the_test(monkeypatch, budget_s, test, largest) -> None:
    monkeypatch.setattr(beginning, "seconds_of_a_pixel", lambda family: 2e-7)  # 1.8 ms at 96 px
    data = SimpleNamespace(
        side=500, meaning=None, several=False, splits={"train": np.arange(6_000), "test": np.arange(test)}
    )
    extent = {"budget_s": budget_s, "iterations": None if budget_s else 1, "epochs": None if budget_s else 1}
    settings = Settings(data="photographs", supernet="efficientnet-lite0", **extent)
    family, trained = family_for(settings, data, reads_published=False)
    assert (family.resolutions[-1], trained) == (largest, largest)
    family, trained = family_for(settings, data, reads_published=True)
    assert (family.resolutions[-1], trained) == (224, largest)


def test_a_data_set_s_name_stays_one_beside_a_folder_of_that_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    kept = []
    settings = make_settings("digits", None, 1, 1)
    work(
        "digits", tmp_path / "run", settings, [], None, do=lambda bench: kept.append(bench.run.facts["data"]["source"])
    )
    assert kept == ["digits"]
