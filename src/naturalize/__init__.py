"""naturalize: Neural Architecture Transfer (Lu et al., TPAMI 2021) as a library and a command line tool.

import naturalize
run = naturalize.transfer("photos/", "runs/photos", budget="20m")
model = run.best("madds<5M").module()
"""

import os
from typing import TYPE_CHECKING, Any

# Torch threads that spin while they wait make a network 40 times slower when another process wants the same processors
# (8.3 s against 0.2 s, two threads on two busy processors). Threads that sleep at once lose what a second thread gains.
# So they spin for about ten microseconds. Torch reads this when it is loaded, so it comes first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from naturalize.errors import UserError
from naturalize.version import __version__

if TYPE_CHECKING:
    from naturalize.api import (
        Run,
        check,
        export,
        finetune,
        finish,
        joint_transfer,
        latency_models,
        open_run,
        predict,
        prepare,
        resume,
        transfer,
    )

__all__ = [
    "Run",
    "UserError",
    "__version__",
    "check",
    "export",
    "finetune",
    "finish",
    "joint_transfer",
    "latency_models",
    "open_run",
    "predict",
    "prepare",
    "resume",
    "transfer",
]


def __getattr__(name: str) -> Any:
    """Import a function on first use: `import naturalize` stays quick, and works without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from naturalize import api

    return getattr(api, name)
