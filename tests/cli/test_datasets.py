"""Data sets by name, on the command line."""

import pytest
from commands import Quick

from naturalize.data.named import NAMED


def test_datasets_lists_every_name_with_its_metric_and_licence(quick: Quick) -> None:
    done = quick("datasets")
    assert done.code == 0
    assert [line.split()[0] for line in done.lines] == ["name", *NAMED]
    (flowers,) = (line for line in done.lines if line.startswith("flowers102"))
    assert " ".join(flowers.split()) == "flowers102 1,020 1,020 6,149 102 mean per class none stated"


def test_datasets_tells_all_of_one(quick: Quick) -> None:
    done = quick("datasets", "imagenet")
    assert done.lines[0].endswith(": 1,000 classes; pictures 1,281,167 train (train), 50,000 test (validation)")
    assert done.lines[1] == "Hub: ILSVRC/imagenet-1k, columns image and label, wants a login"
    asked = quick("datasets", "imagnet")
    assert (asked.code, asked.out) == (2, "")
    assert "unknown data set 'imagnet': did you mean imagenet" in asked.err


@pytest.mark.parametrize(
    ("name", "told"), [("flowers102", "as ./flowers102"), ("flowers-102", "did you mean flowers102?")]
)
def test_a_machine_without_network_gets_one_line(
    quick: Quick, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setattr("naturalize.data.readers.hub._reachable", lambda: False)
    done = quick("check", name)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(f"naturalize: {name} ")
    assert done.err.endswith(f"{told}\n")
