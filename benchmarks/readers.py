"""Readers at scale: 100,000 small pictures listed, checked and split; 1,000,000 paths listed and split.

    nice python benchmarks/readers.py --before ../main-before/src

It makes 100,000 JPEGs of 32 px in 100 class folders, and 1,000,000 names of them: hard links, ten to a picture, in a
second folder of class folders, and in a CSV file beside it. Every reading is a process of its own, whose wall clock,
seconds of CPU and peak of memory count, imports included; where others use the machine too, the wall clock is theirs as
well. `--before` names the sources of another checkout, to be read with in turns. All files are removed at the end.
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
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

SIDE, CLASSES, LINKS = 32, 100, 10


def make(folder: Path, pictures: int) -> None:
    """The pictures, their links, and the CSV file."""
    chance = np.random.default_rng(0)
    links = [folder / "links" / f"class {number}" for number in range(CLASSES)]
    for number in range(CLASSES):
        (folder / "pictures" / f"class {number}").mkdir(parents=True)
        links[number].mkdir(parents=True)
    with (folder / "paths.csv").open("w") as table:
        table.write("path,label\n")
        for number in range(pictures):
            name, kind = f"{number:06d}.jpg", number % CLASSES
            path = folder / "pictures" / f"class {kind}" / name
            Image.fromarray(chance.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path, quality=50)
            for copy in range(LINKS):
                os.link(path, links[kind] / f"{copy}-{name}")
                table.write(f"links/class {kind}/{copy}-{name},class {kind}\n")


def read(job: str, folder: Path) -> dict[str, float]:
    """One reading, in this process: seconds, those of its threads on a CPU, and the peak of memory in MB."""
    start = time.perf_counter()
    from naturalize.data import open_data, opening, splits

    if job.startswith("open"):
        dataset = open_data(folder / "pictures", memory_limit=0 if job == "open, nothing held" else None)
        found = {split: len(rows) for split, rows in dataset.splits.items()}
        found["fingerprint"] = int(dataset.fingerprint[:12], 16)
    else:
        source = folder / {"list a folder": "links", "list a CSV": "paths.csv"}[job]
        part = next(reader for reader in opening.READERS if reader.accepts(source)).find(source).parts["train"]
        test, val = splits.cut(part.labels, part.names, (0.2, 0.16), 0)
        found = {"train": len(part.names) - len(test) - len(val), "val": len(val), "test": len(test)}
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "cpu": round(time.process_time(), 2), "peak_mb": round(peak), **found}


def read_apart(job: str, folder: Path, sources: Path) -> dict[str, float]:
    """The same in a process of its own, with the package that lies at `sources`."""
    command = [sys.executable, __file__, "--read", job, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(sources)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Make the files, read them, remove them; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(read(asked.read, asked.folder)))
        return
    folder = Path(tempfile.mkdtemp(prefix="readers-"))
    try:
        make(folder, asked.pictures)
        trees = {"now": Path(__file__).parents[1] / "src"} | ({"before": asked.before} if asked.before else {})
        jobs = ("open", "open, nothing held", "list a folder", "list a CSV")
        table: dict[str, dict[str, list[dict[str, float]]]] = {job: {} for job in jobs}
        for _, job, (name, sources) in product(range(asked.repeats), jobs, trees.items()):
            if not (name == "before" and job == "list a CSV"):  # no such reader was there
                table[job].setdefault(name, []).append(read_apart(job, folder, sources))
                print(job, name, table[job][name][-1], flush=True)
    finally:
        shutil.rmtree(folder)
    for job, by_tree in table.items():
        for name, readings in by_tree.items():
            seconds, cpu, peak = (median(each[key] for each in readings) for key in ("seconds", "cpu", "peak_mb"))
            print(f"{job:>20} {name:>7}: {seconds:7.2f} s, {cpu:7.2f} s of CPU, {peak:6.0f} MB")
    from common import write  # only now: a process begins with the peak of memory of the one that starts it

    write(
        "readers",
        {"pictures": asked.pictures, "paths": asked.pictures * LINKS, "readings": table},
    )


if __name__ == "__main__":
    main()
