"""Whole transfers: accuracy, size of the front, range of multiply-adds, wall clock; several seeds.

    python benchmarks/transfers.py digits --budget 3m --seeds 5 --runs /tmp/digits
    python benchmarks/transfers.py cifar10-train.parquet --name cifar10 --budget 25m --seeds 1 --runs /tmp/c10

Prints one row a seed and the medians, and writes results/transfers-NAME.json. The network of a row is the one with the
lowest validation error; its test error was read once, at the end of its run.
"""

import argparse
from pathlib import Path
from statistics import median

from common import best, transfer, write

COLUMNS = ("seed", "accuracy %", "smallest %", "networks", "MAdds factor", "hypervolume", "seconds")


def row_of(seed: int, data: str, budget: str, runs: Path) -> tuple[float, ...]:
    """Figures of one transfer, in the order of `COLUMNS`."""
    front, seconds = transfer(data, runs / f"seed{seed}", "--budget", budget, "--seed", str(seed))
    networks = front["networks"]
    accuracy, smallest = (100 - network["test_error"] for network in (best(front), networks[0]))
    factor = networks[-1]["madds"] / networks[0]["madds"]
    return seed, accuracy, smallest, len(networks), factor, front["hypervolume"][-1]["hypervolume"], seconds


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--name")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    name = asked.name or asked.data
    print(f"{name}, budget {asked.budget}\n" + "  ".join(f"{column:>12}" for column in COLUMNS))
    rows = []
    for seed in range(asked.seeds):
        rows.append(row_of(seed, asked.data, asked.budget, asked.runs))
        print("  ".join(f"{value:>12.4g}" for value in rows[-1]), flush=True)
    medians = {column: median(row[i] for row in rows) for i, column in enumerate(COLUMNS) if column != "seed"}
    print("  ".join([f"{'median':>12}", *(f"{value:>12.4g}" for value in medians.values())]))
    table = [dict(zip(COLUMNS, (round(value, 4) for value in row), strict=True)) for row in rows]
    write(f"transfers-{name}", {"data": name, "budget": asked.budget, "rows": table, "median": medians})


if __name__ == "__main__":
    main()
