"""How a segmentation learns: CamVid's whole network trained by the product's own steps, each way judged on validation.

    python benchmarks/segmentation_choices.py --threads 1
    python benchmarks/segmentation_choices.py --threads 1 --without 0001TP

Ways differ in one thing from the way before or named; equal ways see equally many pictures. The test split is not read.
With --without, validation is one drive, of which no picture is trained on, and the ways are those of changed colours:
CamVid's own validation pictures are of a drive that it trains on too, and most of its test pictures are not.
"""

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from common import write
from segmentation import DATA, NAMES, VOID

from naturalize import rng
from naturalize.data import Pixels, augment
from naturalize.data.augment import Augment
from naturalize.data.dataset import Dataset
from naturalize.data.opening import open_data
from naturalize.drawing import trimmed
from naturalize.space import Architecture
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Segmentation, segmentation
from naturalize.training.adapt import Extent, Trainer, TrainingState, cosine, make_optimizer, warm_up
from naturalize.training.batches import Batches, TrainingImages
from naturalize.training.engine import make_fabric
from naturalize.training.evaluate import answers_on, fold
from naturalize.training.subnets import Subnets
from naturalize.weights import published_supernet, transplant

SIDES = [96, 128, 160, 192, 224, 256, 288, 320]
DECAY, PEAK, WARM_UP_SHARE = 1e-3, 4e-4, 0.1
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Way:
    """One way to train: `power` of the pixels of a class is its weight, `mixed` is how subnets and sides take turns.

    `colour` is how far contrast, saturation and brightness change, as `augment.COLOUR`.
    """

    name: str
    side: int = 160
    head: float = 5.0
    peak: float = PEAK
    batch: int = 12
    steps: int = 150
    power: float = 0.0
    sizes: int = 3
    mixed: bool = False
    colour: float = augment.COLOUR


AT_224 = Way("at 224 px", side=224, batch=6, steps=300)
WAYS = [
    Way("heads as fast as the body", head=1.0),
    Way("five times as fast"),
    Way("ten times as fast", head=10.0),
    Way("twice the rate", peak=2 * PEAK),
    Way("batches of 6", batch=6, steps=300),
    Way("maps of four sizes", sizes=4),
    Way("classes by pixels ** -1/4", power=-0.25),
    Way("classes by pixels ** -1/2", power=-0.5),
    AT_224,
    replace(AT_224, name="at 288 px", side=288),
    replace(AT_224, name="at 224 px, classes by pixels ** -1/4", power=-0.25),
    replace(AT_224, name="that and maps of four sizes", power=-0.25, sizes=4),
    replace(AT_224, name="at all sides, every other step a subnet", mixed=True),
]

ELSEWHERE = Way("colours as they are", side=192, batch=6, steps=400, power=-0.25, sizes=4, colour=0.0)
DRIVES = [replace(ELSEWHERE, name=f"colours changed by {share:.0%}", colour=share) for share in (0.3, 0.6)]


def without(drive: str, folder: Path) -> Dataset:
    """CamVid's pictures of training and validation, of which those of one drive are for validation, and all others not.

    Args:
        drive: how the names of its pictures begin.
        folder: where the files are written.
    """
    tables = [pq.read_table(DATA.with_name(f"camvid-{split}.parquet")) for split in ("train", "val")]
    table = pa.concat_tables(tables)
    left_out = np.array([image["path"].startswith(drive) for image in table["image"].to_pylist()])
    rows = {"train": np.flatnonzero(~left_out), "val": np.flatnonzero(left_out), "test": np.flatnonzero(left_out)[:1]}
    for split, chosen in rows.items():
        pq.write_table(table.take(chosen), folder / f"drives-{split}.parquet")
    return open_data(str(folder / "drives-train.parquet"), classes=NAMES, ignore=[VOID])


def result_of(way: Way, data: Dataset) -> dict[str, Any]:
    """Validation mIoU of the whole network by side after a training, and the seconds of CPU that it took."""
    segmentation.SIZES, augment.COLOUR = way.sizes, way.colour
    torch.manual_seed(0)
    family, source = make_family("efficientnet-lite0", data.side, SIDES), published_supernet("efficientnet-lite0")
    task = Segmentation(len(NAMES))
    mean, std = (each.flatten().tolist() for each in (source.normalize.mean, source.normalize.std))
    supernet = Supernet(family, {"default": task.heads(family)}, mean, std)
    transplant(supernet, source, classifier=False)
    if way.power:
        pixels = np.bincount(data.labels[data.splits["train"]].ravel(), minlength=256)[: len(NAMES)]
        task = replace(task, class_weights=tuple((pixels**way.power).tolist()))
    fabric = make_fabric("cpu")
    network, optimizer = fabric.setup(
        supernet.to(memory_format=torch.channels_last), make_optimizer(supernet, DECAY, True, way.head)
    )
    train, val = (Pixels(data, data.splits[split], SIDES) for split in ("train", "val"))
    images, batches = TrainingImages(train, Augment(True), 0), Batches(len(train), way.batch, 0)
    trainer = Trainer(fabric, network, optimizer, task, images, batches, keeps_statistics=True)
    wholes = dict(zip(SIDES, family.space.architectures(family.space.wholes()), strict=True))

    def draw(step: int) -> Architecture:
        if way.mixed and step % 2:
            return trimmed(family.space, 0, step)
        return wholes[int(rng.generator(0, "side", step).choice(SIDES)) if way.mixed else way.side]

    start, state = time.process_time(), TrainingState()
    rate = warm_up(cosine(0.0, 1.0, way.peak), WARM_UP_SHARE)
    trainer.run(trainer.adaptation_step(draw, 0), state, Extent(steps=way.steps), rate, lambda *_: None)
    taken, subnets, found = time.process_time() - start, Subnets(supernet, val, CPU, True), {}
    for side in SIDES if way.side > 160 else [way.side]:
        answers = answers_on(fold(subnets.of(wholes[side])), val, np.arange(len(val)), side, CPU, task.answers)
        found[side] = round(100.0 - task.error(answers), 2)
    return {**asdict(way), "cpu_s": round(taken), "mIoU": found}


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", metavar="DRIVE", help="as 0006R0, 0001TP or 0016E5")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = asked.without is not None
        data = without(asked.without, Path(folder)) if elsewhere else open_data(str(DATA), classes=NAMES, ignore=[VOID])
        for way in [ELSEWHERE, *DRIVES] if elsewhere else WAYS:
            rows.append(result_of(way, data))
            print(rows[-1], flush=True)
    write(f"segmentation-without-{asked.without}" if elsewhere else "segmentation-choices", {"rows": rows})


if __name__ == "__main__":
    main()
