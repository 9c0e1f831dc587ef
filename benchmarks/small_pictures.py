"""Small colour pictures: `mini` or EfficientNet-Lite0, from the weights of each, in the same time.

    python benchmarks/small_pictures.py --images 1000 5000 --budget 3m --runs /tmp/small

Pictures are those of CIFAR-10, seeded parts of both splits, 1,000 for the test: at 10,000 a test at 224 px takes longer
than the budget. Each transfer is the real command, alone on all CPUs; one that is there already is not repeated.
Printed are test errors: that of the network that validation chooses, and the least up to several numbers of
multiply-adds.
"""

import argparse
from pathlib import Path

import numpy as np
from common import SHARED, Front, best, transfer, write
from rivals import least

SUPERNETS = "mini", "efficientnet-lite0"
TESTS = 1000
MADDS = 1e6, 2e6, 4e6, 8.2e6, 20e6, 50e6, 100e6, np.inf


def data_of(images: int, runs: Path) -> Path:
    """A file of so many training pictures, with test pictures beside it."""
    from datasets import load_dataset

    for split, number in (("test", TESTS), ("train", images)):
        path = runs / f"cifar10-{images}-{split}.parquet"
        if not path.exists():
            every = load_dataset("parquet", data_files=str(SHARED / f"cifar10-{split}.parquet"), split="train")
            every.select(np.random.default_rng(0).permutation(len(every))[:number]).to_parquet(path)
    return path


def row_of(front: Front) -> list[float | None]:
    """Test error of the chosen network, then the least up to each of `MADDS`."""
    points = [(n["test_error"], n["madds"], n["architecture"]) for n in front["networks"]]
    return [best(front)["test_error"], *(least(points, madds) for madds in MADDS)]


def main() -> None:
    """Run what is not there yet, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    print(f"{'':>26} {'chosen':>8} " + " ".join(f"{f'{madds / 1e6:g} M':>8}" for madds in MADDS))
    rows = {}
    for images in asked.images:
        for name in SUPERNETS:
            for seed in range(asked.seeds):
                out = asked.runs / f"{images}-{asked.budget}-{name}-{seed}"
                options = "--supernet", name, "--budget", asked.budget, "--seed", str(seed)
                front, _ = transfer(data_of(images, asked.runs), out, *options)
                rows[out.name] = row_of(front)
                told = ["-" if error is None else f"{error:.1f}" for error in rows[out.name]]
                print(f"{out.name:>26} " + " ".join(f"{cell:>8}" for cell in told), flush=True)
    write("small-pictures", {"budget": asked.budget, "madds": MADDS[:-1], "rows": rows})


if __name__ == "__main__":
    main()
