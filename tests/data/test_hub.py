import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Image
from hub_server import serve
from pictures import picture

from naturalize.data.readers import hub
from naturalize.errors import UserError

OPEN = """
import sys, naturalize.data, naturalize.errors
try:
    dataset = naturalize.data.open_data(sys.argv[1])
except naturalize.errors.UserError as error:
    sys.exit(f"user error: {error}")
print(dataset.class_names, dataset.given, dataset.name, dataset.source, dataset.notes, dataset.fingerprint)
"""
NOWHERE = "http://127.0.0.1:9"  # the port that discards: nothing listens there


def open_in_a_process(name: str, home: Path, endpoint: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1", **more}
    return subprocess.run([sys.executable, "-c", OPEN, name], env=environment, capture_output=True, text=True)


@pytest.fixture(name="repository")
def repository_fixture(tmp_path: Path) -> Path:
    """A data set repository as `push_to_hub` leaves it."""
    root = tmp_path / "repository"
    (root / "data").mkdir(parents=True)
    features = Features(image=Image(), label=ClassLabel(names=["zebra", "ant"]))
    for split, number in (("train", 12), ("validation", 4), ("test", 4)):
        labels = [index % 2 for index in range(number)]
        rows = {"image": [picture(f"{split}{label}", index) for index, label in enumerate(labels)], "label": labels}
        Dataset.from_dict(rows, features).to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    (root / "README.md").write_text("---\nlicense: mit\n---\n")
    return root


@pytest.fixture(name="endpoint")
def endpoint_fixture(repository: Path) -> Iterator[str]:
    server = serve("user/animals", repository)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_I04_a_hub_name_works_and_again_from_the_warm_cache_without_network(endpoint: str, tmp_path: Path) -> None:
    first = open_in_a_process("user/animals", tmp_path / "home", endpoint)
    assert first.stdout.startswith("('zebra', 'ant') {'train': 12, 'val': 4, 'test': 4} animals user/animals ()"), (
        first.stderr
    )
    for environment in ({"HF_HUB_OFFLINE": "1"}, {}):
        again = open_in_a_process("user/animals", tmp_path / "home", NOWHERE, **environment)
        assert again.stdout == first.stdout, again.stderr


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_I04_a_cold_cache_without_network_says_so_within_10_s(tmp_path: Path, environment: dict[str, str]) -> None:
    start = time.monotonic()
    stopped = open_in_a_process("user/animals", tmp_path / "home", NOWHERE, **environment)
    assert time.monotonic() - start < 10
    assert "user error: user/animals is no file or folder, nor in the download cache" in stopped.stderr
    assert "Retrying" not in stopped.stderr


def test_a_name_of_ours_is_loaded_by_its_record(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    features = Features(image=Image(), label=ClassLabel(names=["pug", "bengal"]), label_cat_dog=ClassLabel(2))
    for split, number in (("train", 12), ("test", 4)):
        labels = [index % 2 for index in range(number)]
        rows = {"image": [picture(f"{split}{label}", index) for index, label in enumerate(labels)], "label": labels}
        (root / "data").mkdir(parents=True, exist_ok=True)
        table = Dataset.from_dict({**rows, "label_cat_dog": labels[::-1]}, features)
        table.to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    server = serve("timm/oxford-iiit-pet", root)
    done = open_in_a_process("oxford_pets", tmp_path / "home", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert done.stdout.startswith("('pug', 'bengal') {'train': 12, 'test': 4} oxford_pets oxford_pets "), done.stderr


def test_a_name_that_the_hub_does_not_know_is_named(endpoint: str, tmp_path: Path) -> None:
    stopped = open_in_a_process("user/nothing", tmp_path / "home", endpoint)
    assert "user error: user/nothing: no such file or folder, and the Hub says: " in stopped.stderr


@pytest.mark.parametrize(
    ("source", "accepted"),
    [("cifar10", True), ("user/name", True), ("user/name:small", True), ("a/b/c", False), ("a b", False), (7, False)],
)
def test_what_has_the_form_of_a_hub_name(source: object, accepted: bool) -> None:
    assert hub.accepts(source) == accepted


@pytest.mark.parametrize(("one", "other"), [("validation", "dev"), ("val", "valid"), ("test", "testing")])
def test_N13_a_hub_set_with_two_splits_of_one_meaning_is_refused(
    monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    monkeypatch.setattr(hub, "_reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", lambda *named: dict.fromkeys(["train", one, other]))
    with pytest.raises(UserError, match=f"^user/animals holds {one} and {other}, both of which mean (val|test): keep"):
        hub.find("user/animals")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("online", [False, True])
def test_C13_a_lack_of_memory_is_nothing_that_the_hub_says(
    monkeypatch: pytest.MonkeyPatch, wrapped: bool, online: bool
) -> None:
    def lacks(*named: Any) -> None:
        if wrapped:  # as the library does it where it writes tables
            raise RuntimeError("generating the data set") from MemoryError()
        raise MemoryError

    monkeypatch.setattr(hub, "_reachable", lambda: online)
    monkeypatch.setattr("datasets.load_dataset", lacks)
    with pytest.raises(MemoryError):
        hub.find("user/animals")
