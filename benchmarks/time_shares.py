"""Where the wall clock of transfers goes, by phase, and the shares of training and of measuring.

    python benchmarks/time_shares.py clothing --budgets 1m 3m 10m --runs /tmp/shares

Start-up is all that comes before the first step of training; shares are those of what it leaves.
"""

import argparse
from collections import Counter
from pathlib import Path

from common import SHARED, transfer, write

from naturalize.run import read_events

TRAINING, MEASURING = ("prepare", "adapt", "last"), ("measure", "classifiers", "final")


def row_of(run: Path) -> dict[str, object]:
    """Seconds by phase of a run, and shares in percent."""
    events = read_events(run / "events.jsonl")
    events = events[: 1 + next(number for number, event in enumerate(events) if event["event"] == "done")]
    phases: Counter[str] = Counter()
    for event in events:
        if event["event"] == "phase":
            phases[event["phase"]] += event["seconds"]
    first = next(event for event in events if event["event"] == "phase" and event["phase"] in TRAINING)
    start_s, total_s = first["used_s"] - first["seconds"], events[-1]["used_s"]
    left = total_s - start_s
    return {
        "total_s": round(total_s, 1),
        "start_s": round(start_s, 1),
        "training_percent": round(100 * sum(phases[phase] for phase in TRAINING) / left, 1),
        "measuring_percent": round(100 * sum(phases[phase] for phase in MEASURING) / left, 1),
        "seconds": {phase: round(seconds, 2) for phase, seconds in phases.most_common()},
    }


def main() -> None:
    """Print and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--budgets", nargs="+", default=["1m", "3m", "10m"])
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    file = SHARED / f"{asked.data}-train.parquet"
    rows = []
    for budget in asked.budgets:
        run = asked.runs / f"{asked.data}-{budget}"
        transfer(file if file.exists() else asked.data, run, "--budget", budget)
        rows.append({"budget": budget, **row_of(run)})
        print(rows[-1], flush=True)
    write(f"time-shares-{asked.data}", {"rows": rows})


if __name__ == "__main__":
    main()
