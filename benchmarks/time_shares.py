"""Where the wall clock of a transfer goes, by phase, and the share outside training and measuring.

python benchmarks/time_shares.py digits --budget 10m --runs /tmp/shares
"""

import argparse
from collections import Counter
from pathlib import Path

from common import transfer, write

from naturalize.run import read_events

WORK = {"prepare", "adapt", "measure", "final"}


def main() -> None:
    """Print and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    _, seconds = transfer(asked.data, asked.runs / "run", "--budget", asked.budget)
    phases: Counter[str] = Counter()
    events = read_events(asked.runs / "run" / "events.jsonl")
    for event in events:
        if event["event"] == "phase":
            phases[event["phase"]] += event["seconds"]
    total = events[-1]["used_s"]
    phases["start and rest"] = total - sum(phases.values())
    for phase, spent in phases.most_common():
        print(f"{phase:>15} {spent:8.1f} s {100 * spent / total:6.1f}%")
    outside = 100 * (total - sum(phases[phase] for phase in WORK)) / total
    print(f"outside training and measuring: {outside:.1f}% of {total:.0f} s (process: {seconds:.0f} s)")
    spent = {phase: round(value, 2) for phase, value in phases.items()}
    write("time-shares", {"budget": asked.budget, "seconds": spent, "outside_percent": round(outside, 2)})


if __name__ == "__main__":
    main()
