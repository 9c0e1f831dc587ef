"""Errors that are the user's to mend: one clear line that says what is wrong and what to do, never a traceback."""

import difflib
import operator
import os
import re
import shlex
from collections.abc import Iterable


class UserError(Exception):
    """Input, option or file that cannot be used. The command line prints the message and exits with code 2."""

    exit_code = 2


class Interrupted(BaseException):
    """The run was asked to stop by a signal. Not an `Exception`, so that no handler of errors swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


def whole(what: str, value: object, least: int) -> int:
    """A whole number from outside. Raises `UserError` for anything else, and for one below the least."""
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UserError(f"{what} is a whole number, not {value!r}") from None
    if found < least:
        raise UserError(f"{what} is at least {least}, not {found}")
    return found


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a registry, with the nearest names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"unknown {what} {name!r}: {hint}known are {', '.join(known)}")


def command(verb: str, run: str | os.PathLike[str]) -> str:
    """A command on a run for people to copy, as `naturalize resume runs/x`."""
    return f"naturalize {verb} {word(run)}"


def word(text: str | os.PathLike[str]) -> str:
    """A text as one word of a command, in quotes where it needs them.

    Double quotes work in the shells of all three systems, for names with spaces. What means something within them to a
    POSIX shell, as "$", is quoted as there.
    """
    name = str(text)
    if os.name == "posix" and re.search(r'["$`!]', name):
        return shlex.quote(name)
    return name if re.fullmatch(r"[\w./+:-]+", name) else f'"{name}"'
