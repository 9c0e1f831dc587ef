"""Published files by name: fetched once, resumed, checked; against a real server that misbehaves."""

import hashlib
import multiprocessing
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from file_server import Behaviour

from naturalize.errors import Interrupted, UserError
from naturalize.weights import fetch
from naturalize.weights.fetch import blob_id, fetched
from naturalize.weights.published import FILES, Published

CONTENT = np.random.default_rng(0).bytes(1_000_000)
BLOB = hashlib.sha1(f"blob {len(CONTENT)}\0".encode() + CONTENT).hexdigest()
FILE = Published("weights", "nets", BLOB, 1)


pytestmark = pytest.mark.usefixtures("cache")


def test_a_file_is_fetched_once(server, cache):
    behaviour = Behaviour(CONTENT)
    source = server(behaviour)
    seen = []
    path = fetched(FILE, (source,), lambda phase, done, total: seen.append((done, total)))
    assert path == cache / "weights"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetched(FILE, (source,)) == path
    assert behaviour.requests == [None]


def test_git_agrees_about_the_blob(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    told = subprocess.run(["git", "hash-object", "file"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == BLOB == blob_id(tmp_path / "file")


def test_a_broken_connection_is_taken_up_where_it_broke(server):
    behaviour = Behaviour(CONTENT, breaks=[300_000, 200_000])
    assert fetched(FILE, (server(behaviour),)).read_bytes() == CONTENT
    assert behaviour.requests == [None, "bytes=300000-", "bytes=500000-"]


def test_a_download_that_was_stopped_goes_on_in_the_next_process(server):
    behaviour = Behaviour(CONTENT, chunk_s=1e-4)

    def stop(phase, done, total):
        if done > 400_000:
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        fetched(FILE, (server(behaviour),), stop)
    assert fetched(FILE, (server(behaviour),)).read_bytes() == CONTENT
    assert behaviour.requests[1] not in (None, "bytes=0-")


def test_a_server_without_ranges_starts_over(server):
    behaviour = Behaviour(CONTENT, breaks=[300_000], ranges=False)
    assert fetched(FILE, (server(behaviour),)).read_bytes() == CONTENT


def test_what_was_begun_from_another_content_is_thrown_away(server, cache):
    cache.mkdir()
    (cache / "weights.part").write_bytes(b"x" * 500_000)
    assert fetched(FILE, (server(Behaviour(CONTENT)),)).read_bytes() == CONTENT
    (cache / "weights").unlink()
    (cache / "weights.part").write_bytes(b"x" * 2_000_000)  # longer than the file: the server has nothing to add
    assert fetched(FILE, (server(Behaviour(CONTENT)),)).read_bytes() == CONTENT


def test_the_next_source_is_tried(server):
    wrong, gone, right = Behaviour(CONTENT[::-1]), Behaviour(CONTENT, status=404), Behaviour(CONTENT)
    assert fetched(FILE, tuple(map(server, (gone, wrong, right)))).read_bytes() == CONTENT
    assert len(gone.requests) == 1


def test_where_no_source_helps_one_line_says_what_to_do(server, cache, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.5)
    sources = (
        server(Behaviour(CONTENT, status=404)),
        server(Behaviour(CONTENT[::-1])),
        server(Behaviour(CONTENT, breaks=[10, 10, 10])),
        "http://127.0.0.1:9/weights",
    )
    with pytest.raises(UserError) as caught:
        fetched(FILE, sources)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("HTTP 404", "other content", "broke off", "refused", BLOB, "about 1 MB", str(cache / "weights")):
        assert word in message
    assert not (cache / "weights").exists()


def test_a_server_that_stalls_is_given_up(server, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.3)
    start = time.monotonic()
    with pytest.raises(UserError, match="timed out"):
        fetched(FILE, (server(Behaviour(CONTENT, chunk_s=5.0)),))
    assert time.monotonic() - start < 10


def test_a_file_of_the_cache_with_other_content_is_named(cache):
    cache.mkdir()
    (cache / "weights").write_bytes(b"no weights")
    with pytest.raises(UserError, match="delete it"):
        fetched(FILE, ())


def fetch_in_process(source):
    return fetched(FILE, (source,)).read_bytes() == CONTENT


def test_processes_that_want_the_same_file_fetch_it_once(server):
    behaviour = Behaviour(CONTENT, chunk_s=1e-3)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(fetch_in_process, [server(behaviour)] * 3)) == [True] * 3
    assert behaviour.requests == [None]


def test_every_body_of_the_published_supernets_has_a_file():
    from naturalize.supernet import make_family

    for name, files in FILES.items():
        assert list(files) == list(make_family(name, 224).bodies)
        assert all(len(file.blob) == 40 for file in files.values())


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a directory that nobody can write in")
@pytest.mark.parametrize("cache", ["/sys/naturalize", "/sys"])
def test_I07_where_the_cache_cannot_be_written_another_one_is_asked_for(monkeypatch, cache):
    monkeypatch.setenv("NATURALIZE_CACHE", cache)
    with pytest.raises(UserError, match=f"^{cache} cannot be written .*NATURALIZE_CACHE$"):
        fetched(FILE, ("http://localhost:9/none",))
