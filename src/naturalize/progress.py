"""The function by which long work reports its progress, and is asked to stop."""

from typing import Protocol


class Progress(Protocol):
    """Called at every safe point of long work: between pictures, batches, generations.

    It may raise `errors.Interrupted`; callers hold nothing half-written at these points, so they need no clean-up.
    """

    def __call__(self, phase: str, done: int, total: int) -> None: ...


def silent(phase: str, done: int, total: int) -> None:
    """Report nothing."""
