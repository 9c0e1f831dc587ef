"""The search: which architectures to measure next, and which of the measured ones to keep. No torch.

It works on any space of integers with any expensive function: see `search`.
"""

from naturalize.search.evaluations import SearchArchive, SearchError
from naturalize.search.guided import Guided
from naturalize.search.hypervolume import hypervolume
from naturalize.search.loop import search
from naturalize.search.methods import BASELINES, GUIDED, METHODS, check_guided, make_guided, make_searcher
from naturalize.search.nsga3 import Variation, propose
from naturalize.search.problem import SearchProblem
from naturalize.search.searcher import Searcher
from naturalize.search.survival import non_dominated, survive

__all__ = [
    "BASELINES",
    "GUIDED",
    "METHODS",
    "Guided",
    "SearchArchive",
    "SearchError",
    "SearchProblem",
    "Searcher",
    "Variation",
    "check_guided",
    "hypervolume",
    "make_guided",
    "make_searcher",
    "non_dominated",
    "propose",
    "search",
    "survive",
]
