"""A newcomer's folder of large photographs: does every budget give a front, on quiet and on busy cores?

    python benchmarks/newcomers.py --photographs 100 1000 10000 --budgets 1m 3m --runs /tmp/newcomers

Folders are made of flowers102: 10 of its classes for 100 photographs, 17 for 1,190, all 102 for others, enlarged to a
short side of 500 px, as JPEG; from the second round through a class on, a crop of the picture, mirrored. Beside two
busy processes, or quiet. A front should have 5 networks, and the most accurate by validation should be at most 2 points
worse on the test split than the probe: the best by validation of the linear classifiers on the published network.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from common import SHARED, best, transfer, write
from PIL import Image, ImageOps
from time_shares import row_of

from naturalize.data import Pixels, open_data
from naturalize.lifecycle import attached
from naturalize.probing import probe_networks, probes_of
from naturalize.run import Run, Watch
from naturalize.training.evaluate import logits_of
from naturalize.workbench import open_workbench

SIDE, QUALITY = 500, 90
NEIGHBOURS = 2
CLASSES, ALL = {100: 10, 1190: 17}, 102  # by photographs, and of others


def photographs(folder: Path, n: int) -> Path:
    """A folder of n photographs, made where it is not there yet."""
    if folder.exists():
        return folder
    data = open_data(SHARED / "flowers102-train.parquet", seed=0)
    data.scan_test()
    rows, classes = np.concatenate([data.splits[name] for name in ("train", "val", "test")]), CLASSES.get(n, ALL)
    pixels, draw = Pixels(data, rows, [data.side]), np.random.default_rng(0)
    of_class = [np.flatnonzero(pixels.labels == number) for number in range(classes)]
    for number in range(n):
        label, place = number % classes, number // classes
        seen = of_class[label]
        planes = pixels(seen[[place % len(seen)]], data.side)[0]
        picture = Image.fromarray(planes.transpose(1, 2, 0))
        if place >= len(seen):
            kept = round(data.side * draw.uniform(0.7, 0.95))
            left, top = draw.integers(0, data.side - kept + 1, 2).tolist()
            picture = ImageOps.mirror(picture.crop((left, top, left + kept, top + kept)))
        path = folder.with_name(folder.name + ".part") / f"class_{label:03d}" / f"{place:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=QUALITY)
    return folder.with_name(folder.name + ".part").rename(folder)


def probe_error(directory: Path, folder: Path) -> float:
    """Percent of a run's test pictures, of the probe that is the best on validation."""
    run, watch = Run(directory), Watch([], time.monotonic())
    data = open_data(folder, seed=run.settings.seed, jpeg_side=run.jpeg_side)
    data.scan_test()
    probes = probes_of(directory)
    assert probes is not None
    side = min(probes.resolutions, key=lambda side: (probes.wrong[side].mean(), side))
    with attached(run, watch) as archive:
        bench = open_workbench(run, data, archive, watch)
        network = probe_networks(bench, [side])[side]
    pixels = Pixels(data, data.splits["test"], [side])
    logits = logits_of(network, pixels(np.arange(len(pixels)), side), bench.device)
    return 100.0 * float((logits.argmax(1).numpy() != np.asarray(pixels.labels)).mean())


def main() -> None:
    """Print and write one row a folder, budget and neighbourhood."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", nargs="+", type=int, default=[100, 1000, 10000])
    parser.add_argument("--budgets", nargs="+", default=["1m", "3m", "5m", "10m"])
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    rows = []
    for budget in asked.budgets:
        for n in asked.photographs:
            folder = photographs(asked.runs / f"photographs-{n}", n)
            for busy in (False, True):
                run = asked.runs / f"{n}-{budget}-{'busy' if busy else 'quiet'}"
                command = [sys.executable, "-c", "while True: pass"]
                neighbours = [subprocess.Popen(command) for _ in range(NEIGHBOURS * busy)]
                try:
                    front, _ = transfer(folder, run, "--budget", budget)
                finally:
                    for neighbour in neighbours:
                        neighbour.kill()
                        neighbour.wait()
                networks, chosen = front["networks"], best(front)
                shares = {name: value for name, value in row_of(run).items() if name != "seconds"}
                row = {
                    "photographs": n,
                    "budget": budget,
                    "busy": busy,
                    **shares,
                    "networks": len(networks),
                    "published": sum(network["origin"] == "published" for network in networks),
                    "resolutions": sorted({network["resolution"] for network in networks}),
                    "test_images": front["splits"]["test"],
                    "chosen": round(chosen["test_error"], 1),
                    "chosen_madds": chosen["madds"],
                    "smallest": round(networks[0]["test_error"], 1),
                    "smallest_madds": networks[0]["madds"],
                    "probe": round(probe_error(run, folder), 1),
                }
                rows.append(row)
                print(row, flush=True)
    write(f"newcomers-{'-'.join(asked.budgets)}", {"rows": rows})


if __name__ == "__main__":
    main()
