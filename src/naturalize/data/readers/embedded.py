"""Data sets that need no download: scikit-learn's digits, and photographs of clothes inside this package."""

from collections.abc import Callable
from pathlib import Path

from naturalize.data.parts import Found
from naturalize.data.readers import tables
from naturalize.data.readers.arrays import find_digits

FILES = Path(__file__).parents[1] / "files"


def find_clothing() -> Found:
    """550 training and 200 test photographs of ten kinds of clothes, short side 96 px (clothing-dataset-small, CC0)."""
    found = tables.find(FILES / "clothing-train.parquet")
    found.name = found.source = "clothing"
    return found


EMBEDDED: dict[str, Callable[[], Found]] = {"digits": find_digits, "clothing": find_clothing}
