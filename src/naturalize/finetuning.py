"""Fine-tuning: chosen networks of a front trained on by themselves, as NAT's are on ImageNet (section 4.2)."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from naturalize.last_adaptation import with_validation
from naturalize.preparing import RATE_OF_KEPT
from naturalize.run.front import PUBLISHED, TRANSFER, FrontNetwork, read_front, val_version
from naturalize.setting import Setting
from naturalize.space import Architecture
from naturalize.supernet import Subnet
from naturalize.testing import measure_test, one_version, write_front
from naturalize.training.adapt import Extent, TrainingState, cosine, make_optimizer, warm_up
from naturalize.training.evaluate import fold

RATE = 0.01  # where the cosine of each network starts
WARM_UP_SHARE = 0.05
KEPT_S = 0.1  # of the time of each network, for measuring it


def finetune(setting: Setting, chosen: list[FrontNetwork], seconds: float) -> None:
    """Train each network for its share of the time; those that became better on validation take the old ones' places.

    Networks that learnt from the validation pictures too go on with them: these cannot judge any more, so each takes
    the old one's place. front.json keeps what the numbers were before, and the test split is read for the networks that
    are replaced.
    """
    front = read_front(setting.run.directory)
    setting.choose_images(val_version(front))
    learning = with_validation(setting)
    entries = {entry["architecture"]: entry for entry in front["networks"]}
    better: dict[str, Subnet] = {}
    for network in chosen:
        arch, entry = setting.supernet.family.space.parse(network.architecture), entries[network.architecture]
        judged = one_version(front) or entry["origin"] == PUBLISHED
        extent = Extent(seconds=(1 - KEPT_S) * seconds / len(chosen))
        subnet = setting.run.load(network).subnet
        subnet = trained(setting if judged else learning, subnet, arch, extent)
        before = {name: entry[name] for name in ("val_error", "val_error_views", "test_error")}
        views, plain = errors_of(setting, subnet, arch) if judged else (None, None)
        won = views is None or views < entry["val_error_views"]
        setting.watch.event(
            "finetuned", architecture=network.architecture, before=entry["val_error_views"], after=views, kept=won
        )
        if won:
            if judged:
                entry |= {"val_error": plain, "val_error_views": views, "val_images": len(setting.error.images)}
            entry |= {"origin": TRANSFER, "before_finetuning": entry.get("before_finetuning") or before}
            better[network.architecture] = subnet
    if better:
        with setting.watch.phase("final", version=front["weights_version"]):
            measure_test(setting, front, finetuned=better)
        write_front(setting, front)


def errors_of(setting: Setting, subnet: Subnet, arch: Architecture) -> tuple[float, float]:
    """Percent of the validation images: the mean over views, and that of the plain view."""
    wrong, images = setting.error.wrong_by_view(fold(copy.deepcopy(subnet)), arch), len(setting.error.images)
    return 100.0 * float(np.mean(wrong)) / images, 100.0 * wrong[0] / images


def trained(setting: Setting, subnet: Subnet, arch: Architecture, extent: Extent) -> Subnet:
    """The subnet after a training of its own, with statistics of its own."""
    trainer, watch = setting.trainer, setting.watch
    resolution = setting.error.resolution(arch)
    (decay, *_) = (group["weight_decay"] for group in trainer.optimizer.param_groups)
    plain = nn.Sequential(subnet.layers, subnet.head)
    network, optimizer = trainer.fabric.setup(plain, make_optimizer(plain, decay, trainer.keeps_statistics))

    def step(number: int) -> Tensor:
        images, labels = trainer.images(trainer.batches.rows(number), resolution, number, subnet.normalize)
        loss = setting.task.loss(network(images), labels)
        trainer.fabric.backward(loss)
        return loss.detach()

    def on_step(state: TrainingState, loss: float, rate: float) -> None:
        watch.progress("finetune", int(1000 * extent.fraction(state)), 1000)

    peak = RATE_OF_KEPT if trainer.keeps_statistics else RATE
    alone = replace(trainer, supernet=network, optimizer=optimizer)
    alone.run(step, TrainingState(), extent, warm_up(cosine(0.0, 1.0, peak), WARM_UP_SHARE), on_step)
    return setting.error.calibrated(subnet, arch)
