"""A transfer that is over in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import naturalize
from naturalize import schedule
from naturalize.run import Run


@pytest.fixture(scope="session")
def short_transfer() -> Callable[..., Run]:
    """A function from data, directory and objectives to a run of one iteration and a few networks."""

    def transferred(data: Any, out: Path, objectives: tuple[str, ...]) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(schedule, "INITIAL", 6)
            patch.setattr(schedule, "NEW", 2)
            patch.setattr(schedule, "KEPT", 4)
            return naturalize.transfer(data, out, objectives=objectives, iterations=1, epochs=1, listeners=())

    return transferred
