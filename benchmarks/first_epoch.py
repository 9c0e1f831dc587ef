"""The first epoch of training input: 224 px from JPEGs of 500x375, beside Pillow and NumPy in a PyTorch DataLoader.

    nice python benchmarks/first_epoch.py --rounds 5

JPEGs are made of real pictures of 128 px, twelve to a JPEG, so that they have a photograph's detail; nothing of them is
decoded before. Ours opens the folder (every picture decoded, checked and hashed), resizes, normalises and augments each
once, in batches of 64. The rival lists the files, and decodes, crops at random, resizes, mirrors and normalises in
workers; every number of workers has its turn in each round, and the quickest counts. Each reading is a process of its
own, imports left out. Where others use the machine, whoever runs more processes gets more of it: seconds of CPU are
told too, and their ratio, the rival's least over ours, is what idle cores would come to. `--before` names the sources
of another checkout, to be read with in turns.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

SIDE, SIZE, BATCH, WORKERS = 224, (500, 375), 64, (0, 1, 2, 3, 4)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def make(folder: Path, pictures: int) -> int:
    """JPEGs in two class folders, below `train`, and some below `val` and `test`; mean bytes of one."""
    import pyarrow.parquet as pq
    from common import SHARED

    stored = pq.read_table(SHARED / "photos-pool.parquet")["image"]
    chance, total = np.random.default_rng(0), 0
    for number in range(pictures + 8):
        split = "train" if number < pictures else ("val", "test")[number % 4 // 2]
        whole = Image.new("RGB", (512, 384))
        for place, row in enumerate(chance.integers(len(stored), size=12).tolist()):
            part = Image.open(BytesIO(stored[row].as_py()["bytes"]))
            whole.paste(part, (place % 4 * 128, place // 4 * 128))
        path = folder / split / f"class {number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
        total += path.stat().st_size
    return total // (pictures + 8)


def cpu_s() -> float:
    """Seconds on a CPU of this process, and of those of its own that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def ours(folder: Path) -> tuple[int, dict[str, float]]:
    """Pictures of an epoch, and seconds of its parts."""
    import torch

    from naturalize.data import Pixels, open_data
    from naturalize.data.augment import Augment
    from naturalize.supernet.subnet import Normalize
    from naturalize.training.batches import Batches, TrainingImages

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start, on_cpu = time.perf_counter(), [cpu_s()]
    dataset = open_data(folder)
    opened = time.perf_counter()
    pixels = Pixels(dataset, dataset.splits["train"], [SIDE], quickly=True)
    images, batches = TrainingImages(pixels, Augment(flip=True), 0), Batches(len(pixels), BATCH, 0)
    normalize, seen, seconds = Normalize([*MEAN], [*STD]), 0, []
    for epoch in range(2):
        begun = time.perf_counter()
        for step in range(batches.per_epoch):
            batch, _ = images(batches.rows(epoch * batches.per_epoch + step), SIDE, step, normalize)
            seen += len(batch)
        seconds.append(time.perf_counter() - begun)
        on_cpu.append(cpu_s())
    opening, cpu = opened - start, on_cpu[1] - on_cpu[0]
    return seen // 2, {"cpu": cpu, "opening": opening, "seconds": opening + seconds[0], "second epoch": seconds[1]}


class Files:
    """The rival's pictures: PyTorch's training input for ImageNet, by Pillow and NumPy."""

    def __init__(self, folder: Path) -> None:
        kinds = sorted(path.name for path in folder.iterdir())
        self.files = [(path, kinds.index(path.parent.name)) for path in sorted(folder.rglob("*.jpg"))]
        self.mean, self.std = np.float32(MEAN), np.float32(STD)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch

        path, label = self.files[index]
        chance = np.random.default_rng(index)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        width, height = picture.size
        for _ in range(10):  # torchvision's RandomResizedCrop
            area = width * height * chance.uniform(0.08, 1)
            ratio = np.exp(chance.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                break
        else:
            w = h = min(width, height)
        left, upper = chance.integers(width - w + 1), chance.integers(height - h + 1)
        small = picture.crop((left, upper, left + w, upper + h)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        if chance.random() < 0.5:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        values = (np.asarray(small, dtype=np.float32) - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))), label


def rival(folder: Path, workers: int) -> tuple[int, dict[str, float]]:
    """The same of the rival."""
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start, on_cpu, seen = time.perf_counter(), cpu_s(), 0
    for batch, _ in DataLoader(Files(folder / "train"), BATCH, shuffle=True, num_workers=workers):
        seen += len(batch)
    return seen, {"cpu": cpu_s() - on_cpu, "seconds": time.perf_counter() - start}


def read_apart(job: str, folder: Path, sources: Path) -> dict[str, float]:
    """One reading in a process of its own: pictures a second, and seconds."""
    command = [sys.executable, __file__, "--read", job, "--folder", str(folder)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(sources)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def read(job: str, folder: Path) -> dict[str, float]:
    """The same, in this process."""
    work: Callable[[], tuple[int, dict[str, float]]] = lambda: (  # noqa: E731
        ours(folder) if job == "ours" else rival(folder, int(job))
    )
    pictures, seconds = work()
    return {"a_second": round(pictures / seconds["seconds"], 1), **{k: round(v, 3) for k, v in seconds.items()}}


def main() -> None:
    """Make the files, read them in turns, remove them; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(read(asked.read, asked.folder)))
        return
    folder, now = Path(tempfile.mkdtemp(prefix="first-epoch-")), Path(__file__).parents[1] / "src"
    jobs = [("ours", now, "ours")] + ([("before", asked.before, "ours")] if asked.before else [])
    jobs += [(f"{workers} workers", now, str(workers)) for workers in WORKERS]
    rounds: list[dict[str, dict[str, float]]] = [{} for _ in range(asked.rounds)]
    try:
        size = make(folder, asked.pictures)
        for each, (name, sources, job) in product(rounds, jobs):
            each[name] = read_apart(job, folder, sources)
            print(f"{name:>10}", each[name], flush=True)
    finally:
        shutil.rmtree(folder)
    ratios, by_cpu = dict[str, list[float]](), dict[str, list[float]]()
    for name in (name for name, _, job in jobs if job == "ours"):
        quickest = [max(each[f"{workers} workers"]["a_second"] for workers in WORKERS) for each in rounds]
        ratios[name] = [round(each[name]["a_second"] / best, 2) for each, best in zip(rounds, quickest, strict=True)]
        least = [min(each[f"{workers} workers"]["cpu"] for workers in WORKERS) for each in rounds]
        by_cpu[name] = [round(cpu / each[name]["cpu"], 2) for each, cpu in zip(rounds, least, strict=True)]
        print(f"{name}: {median(ratios[name]):.2f} times the rival's pictures a second ({ratios[name]})")
        print(f"{name}: {median(by_cpu[name]):.2f} times its pictures a second of CPU ({by_cpu[name]})")
    from common import write

    write(
        "first-epoch", {"pictures": asked.pictures, "bytes": size, "ratios": ratios, "of CPU": by_cpu, "rounds": rounds}
    )


if __name__ == "__main__":
    main()
