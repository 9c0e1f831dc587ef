"""One process at a time works on a run."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from naturalize.errors import UserError
from naturalize.files import on_network_drive, room_on_disk, write_json


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the run. Raises `UserError` naming pid and host when another process does.

    The kernel drops the lock of a process that was killed, so a stale lock is taken over, also that of a machine that
    is gone. On a network drive locks may not reach across hosts, so the lock of another host is respected there.
    """
    card = directory / "lock.json"
    lock = FileLock(directory / "lock")
    try:
        with room_on_disk(directory):
            lock.acquire(timeout=0)
    except Timeout as error:
        owner = read_owner(card)
        raise UserError(
            f"{directory} is in use by process {owner.get('pid', '?')} on {owner.get('host', '?')}: "
            "wait for it or stop it"
        ) from error
    try:
        owner = read_owner(card)
        host = socket.gethostname()
        if owner and owner.get("host") != host and on_network_drive(directory):
            raise UserError(
                f"{directory} was left locked by process {owner.get('pid')} on {owner.get('host')}: "
                f"when that process is gone, delete {card} and try again"
            )
        write_json(card, {"pid": os.getpid(), "host": host})
        try:
            yield
        finally:
            card.unlink(missing_ok=True)
    finally:
        lock.release()


def is_held(directory: Path) -> bool:
    """Whether another process works on the run. A lock that a killed process left behind is none."""
    if not read_owner(directory / "lock.json"):
        return False
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def read_owner(card: Path) -> dict[str, object]:
    """Pid and host in lock.json; empty when nobody left one."""
    try:
        return dict(json.loads(card.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
