"""Libraries that a format or a runtime needs and that come as extras of naturalize."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from naturalize.errors import UserError


def library(module: str, extra: str) -> Any:
    """A module of an extra, imported only where it is needed. Raises `UserError` where it is not installed."""
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UserError(f"{package} is not installed or does not load: pip install 'naturalize[{extra}]'") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what a converter prints, logs and warns of from the user: it speaks to its own developers."""
    with no_output(1), no_output(2), contextlib.redirect_stderr(io.StringIO()), quiet_python():
        yield


@contextlib.contextmanager
def quiet_python() -> Iterator[None]:
    """Keep what Python code prints, logs and warns of from the user; others may write to stderr meanwhile."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def no_output(descriptor: int) -> Iterator[None]:
    """Keep what code outside Python writes to a file descriptor from the user."""
    kept = os.dup(descriptor)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
