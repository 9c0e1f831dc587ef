import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from pictures import picture

import naturalize
from naturalize.data import open_data
from naturalize.data.named import METRICS, NAMED, Named, near
from naturalize.data.parts import SPLITS
from naturalize.data.readers import hub
from naturalize.errors import UserError

PAPERS = {
    "imagenet", "cifar10", "cifar100", "cinic10", "stl10", "food101", "stanford_cars", "fgvc_aircraft", "dtd",
    "oxford_pets", "flowers102",
}  # fmt: skip
MORE_COLUMNS = {  # that the copies on the Hub have besides, with a value; some could be taken for the label
    "cifar100": {"coarse_label": (ClassLabel(names=["large", "small"]), 0)},
    "fgvc_aircraft": {"family": (ClassLabel(names=["A300", "A310"]), 0), "manufacturer": (ClassLabel(names=["A"]), 0)},
    "oxford_pets": {"image_id": (Value("string"), "x"), "label_cat_dog": (ClassLabel(names=["cat", "dog"]), 1)},
}
MORE_SPLITS = {"imagenet": "test", "stanford_cars": "contrast"}


def stand_in(record: Named, name: str) -> DatasetDict:
    """A data set of the schema that the record's copy on the Hub has, with three classes and few pictures."""
    more = MORE_COLUMNS.get(name, {})
    features = Features(
        {record.image: Image(), record.label: ClassLabel(names=["zebra", "ant", "bee"])}
        | {column: kind for column, (kind, _) in more.items()}
    )

    def split(theirs: str, labels: list[int]) -> Dataset:
        pictures = [picture(f"{theirs}{label}", index) for index, label in enumerate(labels)]
        rest = {column: [value] * len(labels) for column, (_, value) in more.items()}
        return Dataset.from_dict({record.image: pictures, record.label: labels, **rest}, features)

    found = {theirs: split(theirs, [0, 1, 2] * (4 if ours == "train" else 2)) for ours, theirs in record.splits.items()}
    if name in MORE_SPLITS:  # ImageNet's test split has no labels
        found[MORE_SPLITS[name]] = split(MORE_SPLITS[name], [-1] * 3 if name == "imagenet" else [0, 1, 2])
    return DatasetDict(found)


@pytest.fixture(name="on_hub")
def on_hub_fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the Hub's library give an answer, or raise it."""

    def answer(found: Any, online: bool = True) -> None:
        def load(name: str, configuration: str | None) -> Any:
            if isinstance(found, Exception):
                raise found
            return found[name] if not isinstance(found, DatasetDict) else found

        monkeypatch.setattr(hub, "_reachable", lambda: online)
        monkeypatch.setattr("datasets.load_dataset", load)

    return answer


def test_the_papers_eleven_are_there_and_each_record_is_whole() -> None:
    assert set(NAMED) >= PAPERS
    for name, record in NAMED.items():
        assert re.fullmatch(r"[a-z0-9_]+", name)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", record.hub)
        assert record.metric in METRICS
        assert {"train", "test"} <= set(record.splits) <= set(SPLITS)
        assert record.pictures.keys() == record.splits.keys()
        assert len(set(record.splits.values())) == len(record.splits), "no split of the Hub is two of ours"
        assert record.image != record.label
        assert 2 <= record.classes <= min(record.pictures.values())
        assert record.title
        assert record.licence
        assert re.search(r"\d{4}$", record.citation), "it ends in a year"


def test_no_two_records_are_of_the_same_data() -> None:
    for part in ("title", "hub"):
        assert len({getattr(record, part) for record in NAMED.values()}) == len(NAMED)


def test_the_means_per_class_are_those_of_the_papers_table() -> None:
    assert {name for name, record in NAMED.items() if record.metric == "mean per class"} == {
        "flowers102", "oxford_pets", "fgvc_aircraft"
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_each_is_read_by_the_columns_and_splits_of_its_record(name: str, on_hub: Callable[..., None]) -> None:
    record = NAMED[name]
    on_hub({record.hub: stand_in(record, name)})
    dataset = open_data(name)
    assert dataset.name == dataset.source == name
    assert dataset.class_names == ("zebra", "ant", "bee")
    assert dataset.given == {ours: 12 if ours == "train" else 6 for ours in record.splits}
    assert [len(dataset.splits[split]) > 0 for split in SPLITS] == [True] * 3
    (note,) = (note for note in dataset.notes if note.kind == "record")
    assert f"train {record.pictures['train']:,}" in note.message
    unused = [note.paths for note in dataset.notes if note.kind == "ignored"]
    assert unused == ([(MORE_SPLITS[name],)] if name in MORE_SPLITS else [])


def test_imagenet_s_validation_pictures_are_the_test_and_its_test_pictures_are_left_alone(
    on_hub: Callable[..., None],
) -> None:
    on_hub(stand_in(NAMED["imagenet"], "imagenet"))
    dataset = open_data("imagenet", scan_test=True)
    assert len(dataset.splits["test"]) == 6
    assert len(dataset.splits["train"]) + len(dataset.splits["val"]) == 12


def test_a_whole_copy_gives_no_note(on_hub: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    record = NAMED["oxford_pets"]
    monkeypatch.setitem(record.pictures, "train", 12)  # type: ignore[arg-type]
    monkeypatch.setitem(record.pictures, "test", 6)  # type: ignore[arg-type]
    on_hub(stand_in(record, "oxford_pets"))
    assert not open_data("oxford_pets").notes


def test_check_says_what_the_field_reports_and_whose_the_pictures_are(on_hub: Callable[..., None]) -> None:
    on_hub(stand_in(NAMED["oxford_pets"], "oxford_pets"))
    lines = naturalize.check("oxford_pets", listeners=())
    assert lines[0].startswith("oxford_pets: 3 classes (zebra, ant, bee), ")
    assert "Oxford-IIIT Pets: Parkhi et al., Cats and dogs, CVPR 2012" in lines
    assert "licence: CC BY-SA 4.0" in lines
    assert "the field reports mean per class accuracy on it" in lines


def test_a_machine_without_network_gets_one_line_that_says_what_to_do(on_hub: Callable[..., None]) -> None:
    on_hub(ConnectionError("no route\nto host"), online=False)
    with pytest.raises(UserError, match=r"^flowers102 \(dpdl-benchmark/oxford_flowers102 .* as \./flowers102$"):
        open_data("flowers102")


def test_a_gated_set_says_how_to_log_in(on_hub: Callable[..., None]) -> None:
    on_hub(RuntimeError("gated dataset"))
    with pytest.raises(UserError, match=r"accept its terms at https://\S+/ILSVRC/imagenet-1k, then .*`hf auth login`"):
        open_data("imagenet")
    with pytest.raises(UserError, match=r"^dtd: the Hub says of mcimpoi/dtd_split_1: gated dataset; wait, or give"):
        open_data("dtd")


@pytest.mark.parametrize("lost", ["validation", "fine_label"])
def test_a_copy_that_has_changed_is_refused(lost: str, on_hub: Callable[..., None]) -> None:
    name = "food101" if lost == "validation" else "cifar100"
    there = stand_in(NAMED[name], name)
    if lost == "validation":
        del there[lost]
    else:
        there = there.rename_column(lost, "label")
    on_hub(there)
    with pytest.raises(UserError, match=f"^{name}: {NAMED[name].hub} on the Hub has no {lost} any more: give a folder"):
        open_data(name)


def test_a_folder_of_a_set_s_name_is_noted_and_had_by_its_path(
    on_hub: Callable[..., None], picture_maker: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_maker(tmp_path / "mnist", 5, "cat", "dog")
    monkeypatch.chdir(tmp_path)
    on_hub(stand_in(NAMED["mnist"], "mnist"))
    messages = [note.message for note in open_data("mnist").notes]
    assert "mnist is the named data set: write ./mnist for the folder of that name" in messages
    assert open_data("./mnist").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("flowers", "flowers102"), ("CIFAR-10", "cifar10"), ("pets", "oxford_pets"), ("aircraft", "fgvc_aircraft"),
        ("cars", "stanford_cars"), ("fashion-mnist", "fashion_mnist"), ("food-101", "food101"),
    ],
)  # fmt: skip
def test_a_name_that_is_near_says_what_it_could_be(asked: str, meant: str, on_hub: Callable[..., None]) -> None:
    assert near(asked)[0] == meant
    for online in (True, False):
        on_hub(ConnectionError("nothing there"), online=online)
        with pytest.raises(UserError, match=rf"; did you mean {meant}.*\?$"):
            open_data(asked)


@pytest.mark.parametrize("name", ["photos", "user/name", "beans", "a"])
def test_a_name_like_none_suggests_none(name: str) -> None:
    assert not near(name)
