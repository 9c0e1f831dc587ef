"""Fixtures of the tests of weights."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_server import Behaviour, serve


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of fetched files."""
    monkeypatch.setenv("NATURALIZE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[Callable[[Behaviour], str]]:
    """A function that serves a file with a behaviour and gives its address."""
    servers = []

    def start(behaviour: Behaviour) -> str:
        servers.append(serve(behaviour))
        return f"http://127.0.0.1:{servers[-1].server_address[1]}/weights"

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()
