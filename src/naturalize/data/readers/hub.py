"""Reader for data sets of the Hugging Face Hub, through its library and its download cache."""

import contextlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from naturalize.data.named import NAMED, near
from naturalize.data.parts import Found, Note, shortened, splits_named
from naturalize.data.readers.tables import found_in
from naturalize.errors import UserError

PATIENCE_S = 5.0


def accepts(source: Any) -> bool:
    """Whether the source has the form of a Hub name: "name" or "user/name", with ":configuration" where needed."""
    return isinstance(source, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", source) is not None


def find(source: Any, classes: Sequence[str] = ()) -> Found:
    """Downloads the data set, or takes it from the cache; without network the cache alone is asked, without waiting.

    Args:
        source: its name.
        classes: as of `tables.find`.

    Raises:
        UserError: no such data set, neither network nor a copy in the cache, or two splits that mean the same.
    """
    name, _, configuration = source.partition(":")
    try:
        loaded = _load(name, configuration or None)
    except _NotLoaded as error:
        meant = near(source)
        hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
        if error.online:
            raise UserError(f"{source}: no such file or folder, and the Hub says: {error}{hint}") from error
        raise UserError(
            f"{source} is no file or folder, nor in the download cache, and the Hub is out of reach: "
            f"check the name and the network{hint}"
        ) from error
    names = splits_named(source, loaded)
    if "train" not in names:
        raise UserError(f"{source} has no train split (its splits are {', '.join(loaded)})")
    tables = {split: [_Loaded(loaded[name])] for split, name in names.items()}
    return found_in(source.rpartition("/")[2], source, tables, _ignored(loaded, names.values()), wanted=classes)


def find_named(name: str) -> Found:
    """The data set that a name of `NAMED` stands for, as its record says.

    Raises:
        UserError: it can be had neither from the Hub nor from the cache, or it has changed.
    """
    record = NAMED[name]
    instead = f"or give a folder in its published layout, as ./{name}"
    try:
        loaded = _load(record.hub, None)
    except _NotLoaded as error:
        if not error.online:
            raise UserError(
                f"{name} ({record.hub} on the Hub) is not in the download cache, and the Hub is out of reach: "
                f"connect this machine, {instead}"
            ) from error
        if record.gated:
            raise UserError(
                f"{name}: accept its terms at https://huggingface.co/datasets/{record.hub}, then log in by "
                f"`hf auth login`, {instead} (the Hub says: {error})"
            ) from error
        raise UserError(f"{name}: the Hub says of {record.hub}: {error}; wait, {instead}") from error
    wanted = [*record.splits.values(), record.image, record.label]
    there = [*loaded, *next(iter(loaded.values())).column_names]
    if lacking := [part for part in wanted if part not in there]:
        raise UserError(f"{name}: {record.hub} on the Hub has no {shortened(lacking)} any more: {instead[3:]}")
    tables = {split: [_Loaded(loaded[theirs])] for split, theirs in record.splits.items()}
    ignored = _ignored(loaded, record.splits.values())
    found = found_in(name, name, tables, ignored, (record.image, record.label))
    found.metric = record.metric
    pictures = {split: len(part.names) for split, part in found.parts.items()}
    if pictures != record.pictures:
        here, known = (", ".join(f"{split} {n:,}" for split, n in of.items()) for of in (pictures, record.pictures))
        found.notes.append(Note("record", f"not the {name} that is known: {here} pictures here, {known} there"))
    return found


def _ignored(loaded: Mapping[str, Any], used: Collection[str]) -> list[Note]:
    ignored = [name for name in loaded if name not in used]
    return [Note("ignored", f"splits not used: {shortened(ignored)}", tuple(ignored))] if ignored else []


class _NotLoaded(Exception):
    """There is nothing to work with; in one line why. `online`: whether the Hub was asked."""

    def __init__(self, error: Exception, online: bool) -> None:
        super().__init__(" ".join(str(error).split()))
        self.online = online


def _load(name: str, configuration: str | None) -> Any:
    """The data set by split, from the Hub or its cache. Raises `_NotLoaded`."""
    online = os.environ.get("HF_HUB_OFFLINE", "0").upper() not in ("1", "ON", "YES", "TRUE") and _reachable()
    import datasets

    try:
        with contextlib.nullcontext() if online else _cache_only():
            return datasets.load_dataset(name, configuration)
    except Exception as error:  # of many kinds, almost all of which mean that there is nothing to work with
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            raise MemoryError from error  # the library wraps it where it writes tables
        raise _NotLoaded(error, online) from error


class _Loaded:
    """A split in the cache, as a table: mapped from disk, not held in memory."""

    def __init__(self, dataset: Any) -> None:
        self._table: pa.Table = dataset.data.table
        self.schema = dataset.features.arrow_schema
        self.size = int(self._table.nbytes)
        self.folder: Path | None = None  # its pictures are in the table

    def column(self, name: str) -> pa.ChunkedArray:
        return self._table[name]


@contextlib.contextmanager
def _cache_only() -> Iterator[None]:
    """Keeps the Hub's library off the network, where its retries take half a minute before they give up."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _reachable() -> bool:
    """Whether the Hub answers at all, within a few seconds; looking its name up can hang longer than any timeout."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(os.environ.get("HF_ENDPOINT", "https://huggingface.co"), timeout=PATIENCE_S)
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError):
            answers.append(False)
        else:
            answers.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return answers == [True]
