"""Reader for data sets of the Hugging Face Hub, through its library and its download cache."""

import contextlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from naturalize.data.parts import Found, Note, shortened, splits_named
from naturalize.data.tables import found_in
from naturalize.errors import UserError

PATIENCE_S = 5.0


def accepts(source: Any) -> bool:
    """Whether the source has the form of a Hub name: "name" or "user/name", with ":configuration" where needed."""
    return isinstance(source, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", source) is not None


def find(source: Any) -> Found:
    """Downloads the data set, or takes it from the cache; without network the cache alone is asked, without waiting.

    Raises:
        UserError: no such data set, neither network nor a copy in the cache, or two splits that mean the same.
    """
    name, _, configuration = source.partition(":")
    online = os.environ.get("HF_HUB_OFFLINE", "0").upper() not in ("1", "ON", "YES", "TRUE") and _reachable()
    import datasets

    try:
        with contextlib.nullcontext() if online else _cache_only():
            loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # of many kinds, almost all of which mean that there is nothing to work with
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            raise MemoryError from error  # the library wraps it where it writes tables
        if online:
            raise UserError(f"{source}: no such file or folder, and the Hub says: {_one_line(error)}") from error
        raise UserError(
            f"{source} is no file or folder, nor in the download cache, and the Hub is out of reach: "
            "check the name and the network"
        ) from error
    names = splits_named(source, loaded)
    tables = {split: [_Loaded(loaded[name])] for split, name in names.items()}
    ignored = [name for name in loaded if name not in names.values()]
    if "train" not in tables:
        raise UserError(f"{source} has no train split (its splits are {', '.join(loaded)})")
    notes = [Note("ignored", f"splits not used: {shortened(ignored)}", tuple(ignored))] if ignored else []
    return found_in(source.rpartition("/")[2], source, tables, notes)


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


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
