"""The last adaptation: the networks of the front train on together, and on the validation pictures as well.

Validation has done its choosing by then, so there is no more reason to keep its pictures out of training. The supernet
of the measured weights version stays as it is: a run that goes on with a larger budget starts there. Where pictures are
few and time is long, these weights have learnt the training pictures by heart and are slow to learn from others. The
last adaptation then starts anew, from the weights that the run began with (docs/benchmarks.md).
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from naturalize.drawing import in_rounds
from naturalize.preparing import WARM_UP_SHARE, peak_rate, start_again
from naturalize.run.checkpoints import Checkpoints
from naturalize.schedule import LAST_BEGIN
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.training.adapt import Extent, cosine, warm_up
from naturalize.training.batches import Joined, TrainingImages
from naturalize.workbench import Workbench, batches_of

DIRECTORY = "last"  # in a run, for checkpoints while it is under way


def with_validation(bench: Workbench) -> Workbench:
    """The workbench with the validation pictures among the images that its trainer uses."""
    trainer, seed = bench.trainer, bench.seed
    images = Joined(trainer.images.pixels, bench.val)
    batches = batches_of(bench.run, bench.task, images.labels)
    return replace(
        bench,
        trainer=replace(trainer, images=TrainingImages(images, trainer.images.augment, seed), batches=batches),
    )


def adapt_to_front(
    bench: Workbench, session: Session, archs: Sequence[Architecture], extent: Extent, anew: bool = False
) -> None:
    """Train the supernet on the architectures of a front, each once in a round.

    Args:
        bench: as `with_validation` makes it.
        session: of the run, at the version that the front was measured under.
        archs: architectures of the front.
        extent: of the training.
        anew: whether it starts from the published network, as preparation did, and not from that version.
    """
    version = session.version
    last = Session(bench, version, branch(bench.run.directory, version, archs, anew), session.state["steps_before"])
    peak = peak_rate(bench.run.settings, bench.run.keeps_statistics)
    rate = cosine(LAST_BEGIN, 1.0, peak)
    if anew:
        rate = warm_up(cosine(0.0, 1.0, peak), WARM_UP_SHARE)
        if last.checkpoints.latest() is None:
            start_again(bench)
    draw = partial(in_rounds, archs, bench.seed)
    last.train("last", version + 1, lambda first: bench.trainer.adaptation_step(draw, first), extent, rate)


def branch(directory: Path, version: int, archs: Sequence[Architecture], anew: bool) -> Checkpoints:
    """Checkpoints of one last adaptation in a run's directory: another version, front or start has others."""
    front = zlib.crc32(" ".join(arch.text for arch in archs).encode())
    return Checkpoints(directory / DIRECTORY / f"{version}-{front:08x}{'-anew' * anew}")


def forget(directory: Path) -> None:
    """Delete the checkpoints of all last adaptations of a run, once the networks are written."""
    shutil.rmtree(directory / DIRECTORY, ignore_errors=True)
