"""Files that are either whole or not there: written under another name, synced, renamed."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from naturalize.errors import UserError

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "lustre", "beegfs", "gpfs"}


@contextlib.contextmanager
def room_on_disk(
    path: Path, need: int | None = None, remedy: str = "choose another place, or allow it"
) -> Iterator[None]:
    """Turn errors 'no space left' and 'not permitted' into a `UserError` that names the path and the free space.

    Args:
        path: being written.
        need: bytes to write, where that is known.
        remedy: advice for the user where writing is not permitted.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(existing_parent(path)).free / 1e6
            needed = "" if need is None else f"{need / 1e6:.1f} MB needed, "
            raise UserError(
                f"the disk of {path} is full ({needed}{free:.1f} MB free): free some space, then give the command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(f"{path} cannot be written ({error.strerror}): {remedy}") from error
        raise


def existing_parent(path: Path) -> Path:
    """The nearest directory at or above `path` that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def make_directory(path: Path) -> None:
    """Make a directory and those above it. Raises `UserError` where that fails, as where a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path} is no directory, so nothing can be written in it") from error
    except FileNotFoundError as error:  # which /proc gives
        raise UserError(f"{path} cannot be made: choose another directory") from error


def file_system(path: Path) -> str:
    """Type of the file system that holds a path, as the kernel calls it; empty where that is unknown."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    target = path.absolute().resolve()
    holding = [(len(point), kind) for _, point, kind, *_ in mounts if target.is_relative_to(point)]
    return max(holding)[1] if holding else ""


def on_network_drive(path: Path) -> bool:
    """Whether a path may lie on a drive that several machines share; file systems in user space count as such."""
    kind = file_system(path)
    return kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` in one step: a reader, or a crash, sees the old content or the new, nothing between."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with room_on_disk(path, len(content)):
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_directory(path.parent)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def remove_leftovers(directory: Path) -> None:
    """Delete half-written files of a process that was killed. Only the holder of the run's lock may call this."""
    for path in directory.glob(".*.new"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` in UTF-8, whatever the locale."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON; non-finite numbers raise, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def checksum_of(value: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def check_content(value: dict[str, Any]) -> dict[str, Any]:
    """The value without its `checksum`, if it has one. Raises `ValueError` where the checksum does not match."""
    content = {key: part for key, part in value.items() if key != "checksum"}
    if "checksum" in value and value["checksum"] != checksum_of(content):
        raise ValueError("its content has changed since it was written: its checksum is another")
    return content


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable, where the system can (Windows cannot open directories)."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
