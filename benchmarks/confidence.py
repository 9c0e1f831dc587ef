"""How sure are the networks of a run, and how often are they right? And what does a threshold refuse?

    python benchmarks/confidence.py runs/dtd10 runs/clothing runs/digits

Of finished runs, by the test answers that front.json keeps. Sure: mean probability of the answers, less the share that
is right; negative where a network is right more often than it says. ECE: expected calibration error (Guo et al., ICML
2017) over 20 bins, the mean over answers of how far probability and share of right answers in the bin are apart. A
threshold: percent of the pictures that it refuses, and percent wrong of the others.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import best, read_front, write

from naturalize.tasks.confidence import STEPS, above

BINS = 20
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)


def row(name: str, which: str, networks: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over networks, in percent."""
    found = []
    for network in networks:
        images, wrong = (np.array(network["test_confidence"][key]) for key in ("images", "wrong"))
        said = images * (np.arange(STEPS) + 0.5) / STEPS
        gaps = (said - (images - wrong)).reshape(BINS, -1).sum(axis=1)
        kept = [above(network["test_confidence"], threshold) for threshold in THRESHOLDS]
        sure, ece = gaps.sum() / images.sum(), np.abs(gaps).sum() / images.sum()
        found.append([network["test_error"], 100 * sure, 100 * ece, *(x or 0.0 for pair in kept for x in pair)])
    error, sure, ece, *shares = np.mean(found, axis=0).round(1).tolist()
    told = {f"at {t}": shares[2 * n : 2 * n + 2] for n, t in enumerate(THRESHOLDS)}
    return {"run": name, "networks": which, "error": error, "sure": sure, "ece": ece} | told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    table = []
    for run in parser.parse_args().runs:
        front = read_front(run)
        networks = front["networks"]
        table += [row(run.name, "most accurate", [best(front)]), row(run.name, f"all {len(networks)}", networks)]
    for line in table:
        print("  ".join(f"{key} {value}" for key, value in line.items()))
    write("confidence", {"table": table})


if __name__ == "__main__":
    main()
