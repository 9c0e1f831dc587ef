"""Do budgets hold? Transfers of digits with the machine to themselves, and beside a process that keeps a core busy.

    python benchmarks/budgets.py --budgets 1m 3m 10m --runs /tmp/budgets

A budget is the wall clock from start to finished report; it has to be kept to within the larger of 10% and 15 s.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from common import transfer, write

from naturalize.run import parse_budget, read_events


def last_rate(run: Path) -> float:
    """The learning rate of the last step."""
    return [event["rate"] for event in read_events(run / "events.jsonl") if event["event"] == "epoch"][-1]


def main() -> None:
    """Print and write one row a budget and neighbour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", nargs="+", default=["1m", "3m", "10m"])
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    rows = []
    for busy in (False, True):
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
        try:
            for budget in asked.budgets:
                run = asked.runs / f"{'busy' if busy else 'quiet'}-{budget}"
                front, seconds = transfer("digits", run, "--budget", budget)
                wanted = parse_budget(budget)
                off = seconds - wanted
                kept = abs(off) <= max(0.1 * wanted, 15.0)
                rows.append(
                    {"busy": busy, "budget": budget, "seconds": round(seconds, 1), "off_s": round(off, 1), "kept": kept}
                    | {"last_rate": last_rate(run), "networks": len(front["networks"])}
                )
                print(rows[-1], flush=True)
        finally:
            if neighbour is not None:
                neighbour.kill()
                neighbour.wait()
    write("budgets", {"rows": rows})


if __name__ == "__main__":
    main()
