"""The C library's way of keeping memory: a choice for a whole process, so the command line makes it and no function."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of malloc.h


def keep_memory() -> None:
    """Let the C library keep the memory of activations from batch to batch, in place of giving it back each time.

    The kernel zeroes fresh pages: without them training on a CPU is about a tenth faster. glibc only.
    """
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):  # no such name elsewhere
        return
    if library.startswith("glibc"):
        c = ctypes.CDLL(None)
        c.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        c.mallopt(MMAP_THRESHOLD, 2**25)  # the most that older versions take
