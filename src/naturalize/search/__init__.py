"""The search: which architectures to measure next, and which of the measured ones to keep. No torch."""

from naturalize.search.hypervolume import hypervolume
from naturalize.search.nsga3 import propose
from naturalize.search.survival import non_dominated, survive

__all__ = ["hypervolume", "non_dominated", "propose", "survive"]
