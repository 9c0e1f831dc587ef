"""Every random draw comes from (seed, purpose, step): never from a worker, a rank or what was drawn before.

So a resumed run draws what an unbroken one would have drawn, without any generator's state being saved.
"""

import zlib

import numpy as np

from naturalize.errors import UserError, whole

LARGEST_SEED = 2**63 - 1  # that torch takes


def check_seed(seed: object) -> int:
    """The seed, if it is a whole number from 0 to `LARGEST_SEED`. Raises `UserError`."""
    found = whole("the seed", seed, 0)
    if found > LARGEST_SEED:
        raise UserError(f"the seed is at most {LARGEST_SEED}, not {found}")
    return found


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """A NumPy generator for one purpose at one step."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode()), step]))


def integer(seed: int, purpose: str, step: int = 0) -> int:
    """A seed below 2**31 for libraries that take an integer."""
    return int(generator(seed, purpose, step).integers(2**31))
