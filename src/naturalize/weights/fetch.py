"""Fetching a published file once: resumed where it broke off, checked before it gets its name, by one process."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock, Timeout

from naturalize.errors import UserError
from naturalize.files import room_on_disk, sync_directory
from naturalize.progress import Progress, silent
from naturalize.weights.published import Published

TIMEOUT_S = 20.0  # without a byte
ATTEMPTS = 3  # at each source, each going on where the last one broke off
CHUNK = 2**18
LOCK_CHECK_S = 1.0
REMEDY = "name another directory in the environment variable NATURALIZE_CACHE"


def cache_directory() -> Path:
    """The directory of fetched files: NATURALIZE_CACHE, or naturalize/ in the user's cache."""
    if chosen := os.environ.get("NATURALIZE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "naturalize"


def fetched(file: Published, sources: tuple[str, ...] | None = None, progress: Progress = silent) -> Path:
    """The file's path, after fetching it where it is not in the cache.

    Args:
        file: to fetch.
        sources: addresses to try in order, in place of the file's own.
        progress: called while bytes come in.

    Raises:
        UserError: where no source gave the right content; it says how to put the file there by hand.
    """
    directory = cache_directory()
    path = directory / file.name
    if path.exists():
        return checked(path, file)
    with room_on_disk(directory, remedy=REMEDY):
        directory.mkdir(parents=True, exist_ok=True)
    with room_on_disk(directory, remedy=REMEDY), locked(path, progress):
        if path.exists():  # another process has just fetched it
            return checked(path, file)
        part, failures = path.with_name(f"{path.name}.part"), []
        for source in sources or file.sources:
            try:
                with room_on_disk(part, remedy=REMEDY):
                    begun = part.exists()
                    download(source, part, progress)
                    if begun and blob_id(part) != file.blob:  # the earlier part may be from another source
                        part.unlink()
                        download(source, part, progress)
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{source}: {reason(error)}")
                continue
            if blob_id(part) == file.blob:
                part.replace(path)
                sync_directory(directory)
                return path
            failures.append(f"{source}: other content than was published, thrown away")
            part.unlink()
    raise UserError(
        f"{file.name} could not be fetched ({'; '.join(failures)}). It is about {file.megabytes} MB, git blob "
        f"{file.blob}: put it at {path} by hand, or try again, which goes on where it broke off"
    )


def checked(path: Path, file: Published) -> Path:
    """The path of a cached file. Raises `UserError` where its content is not the published one."""
    if blob_id(path) != file.blob:
        raise UserError(f"{path} is not the published {file.name} (git blob {file.blob}): delete it and try again")
    return path


@contextlib.contextmanager
def locked(path: Path, progress: Progress):  # type: ignore[no-untyped-def]
    """Hold the file's lock; while another process fetches it, wait and stay stoppable."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=LOCK_CHECK_S)
            break
        except Timeout:
            progress("waiting for another download", 0, 1)
    try:
        yield
    finally:
        lock.release()


def download(source: str, part: Path, progress: Progress) -> None:
    """Fetch the missing bytes of a file, in a few attempts. Raises the error of the last one."""
    for attempt in range(ATTEMPTS):
        try:
            return download_rest(source, part, progress)
        except (OSError, http.client.HTTPException) as error:
            gone = isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500
            if gone or attempt == ATTEMPTS - 1:
                raise


def download_rest(source: str, part: Path, progress: Progress) -> None:
    """Request the bytes after those that are there already."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "naturalize"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(source, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # there are none: the part is whole, or too long
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        have = file.tell()
        total = have + int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            progress("fetch", have, max(total, have))
        file.flush()
        os.fsync(file.fileno())
    if have < total:
        raise http.client.IncompleteRead(b"", total - have)


def blob_id(path: Path) -> str:
    """SHA-1 of "blob <size>\\0" and the content: the name that git gives it."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def reason(error: Exception) -> str:
    """Why a source gave nothing, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    if isinstance(error, http.client.IncompleteRead):
        return "broke off"
    return str(error) or type(error).__name__
