"""The function by which long work reports its progress, and is asked to stop."""

from typing import Protocol

PHASES = {
    "soft": "reading pictures for soft targets",
    "folds": "fitting classifiers for soft targets",
    "tune": "fine-tuning the whole network",
    "larger": "reading it at larger resolutions",
    "body": "fitting the pre-trained network to the pictures",
    "prepare": "preparing the supernet",
    "latency": "timing networks for a latency model",
    "measure": "measuring networks",
    "search": "searching",
    "int8": "quantising the front",
    "last": "training the front",
    "classifiers": "fitting classifiers",
    "probe": "reading the published network",
}
"""Phases of a run in words, where progress and reports name them alike."""


class Progress(Protocol):
    """Called at every safe point of long work: between pictures, batches, generations.

    It may raise `errors.Interrupted`; callers hold nothing half-written at these points, so they need no clean-up.
    """

    def __call__(self, phase: str, done: int, total: int) -> None: ...


def silent(phase: str, done: int, total: int) -> None:
    """Report nothing."""
