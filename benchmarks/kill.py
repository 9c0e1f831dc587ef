"""kill -9 at random moments: what is lost, and whether the resumed run ends as an unbroken one.

    python benchmarks/kill.py [--rounds 20] [--to results/kill.json]

Each round starts a short run of three classes of 8x8 pictures (`--iterations 2 --epochs 6`, 8 architectures at first),
kills it at a moment drawn uniformly from the time an unbroken run takes, and resumes it to its end; a run that ends
before the kill is repeated. Prints a row a round and writes a JSON file. Checked in every round:

- every measurement that was in the archive when the process was dead is there, the same, at the end;
- a kill in a training lost at most 60 s of it: the time from the last checkpoint, or the start, to the kill;
- architectures, measurements, weights, networks and front.json equal the unbroken run's to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from common import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import runs

os.environ["SAVE_S"] = "30"  # as users have it; the tests save after every step

HERE = Path(__file__).parent


def one_round(data: Path, run: Path, after_s: float, unbroken: dict[str, Any]) -> dict[str, Any] | None:
    """Start, kill, resume, compare; None where the run ended before the kill."""
    process = runs.start("transfer", data, *runs.SMALL, "--out", run)
    started = time.time()
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if process.returncode != -signal.SIGKILL:
        return None
    died = time.time()
    found = runs.measured(run)
    phase = phase_of(run)
    saved = max((path.stat().st_mtime for path in (run / "supernet").glob("[0-9]*/state.json")), default=None)
    training = phase in ("prepare", "adapt")
    lost_s = round(died - (started if saved is None else saved), 2) if training else 0.0
    begin = time.monotonic()
    again = ("resume", run) if (run / "run.toml").exists() else ("transfer", data, *runs.SMALL, "--out", run)
    runs.command(*again)
    left = runs.left_by(run)
    return {
        "killed_after_s": round(after_s, 2),
        "phase": phase,
        "measurements_before": len(found),
        "measurements_lost": len(found - runs.measured(run)),
        "training_lost_s": lost_s,
        "resumed_in_s": round(time.monotonic() - begin, 2),
        "as_unbroken": all(left[name] == unbroken[name] for name in unbroken),
    }


def phase_of(run: Path) -> str:
    """What a killed run was doing, by the phases that its events say are over."""
    if not (run / "run.toml").exists():
        return "start"
    if not (run / "events.jsonl").exists():
        return "pixels"
    over = [event["phase"] for event in runs.events(run, "phase")]
    if runs.events(run, "done"):
        return "over"
    follows = {"scan": "prepare", "prepare": "measure", "measure": "search", "fit": "search", "search": "adapt"}
    follows |= {"adapt": "measure", "final": "report", "report": "report"}
    return follows[over[-1]] if over else "pixels"


def main() -> None:
    """Parse, work, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--to", type=Path, default=HERE / "results" / "kill.json")
    asked = parser.parse_args()
    moments = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = runs.grey_pictures(Path(scratch) / "bands")
        begin = time.monotonic()
        runs.command("transfer", data, *runs.SMALL, "--out", Path(scratch) / "unbroken")
        whole_s = time.monotonic() - begin
        unbroken = runs.left_by(Path(scratch) / "unbroken")
        print(f"an unbroken run takes {whole_s:.1f} s")
        print("round  killed at  while      measured  lost  training lost  resumed in  as unbroken")
        rounds = []
        for number in count():
            row = one_round(data, Path(scratch) / f"run{number}", moments.uniform(0.0, whole_s), unbroken)
            if row is None:
                continue
            rounds.append(row)
            print(
                f"{len(rounds):5d} {row['killed_after_s']:8.1f} s  {row['phase']:<9} {row['measurements_before']:9d} "
                f"{row['measurements_lost']:5d} {row['training_lost_s']:12.1f} s {row['resumed_in_s']:9.1f} s  "
                f"{'yes' if row['as_unbroken'] else 'NO'}",
                flush=True,
            )
            if len(rounds) == asked.rounds:
                break
    summary = {
        "rounds": len(rounds),
        "completed": len(rounds),
        "measurements_lost": sum(row["measurements_lost"] for row in rounds),
        "most_training_lost_s": max(row["training_lost_s"] for row in rounds),
        "as_unbroken": sum(row["as_unbroken"] for row in rounds),
    }
    print(summary)
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "unbroken_s": round(whole_s, 1), "summary": summary, "rounds": rounds}
    asked.to.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    good = summary["as_unbroken"] == len(rounds) and not summary["measurements_lost"]
    raise SystemExit(not (good and summary["most_training_lost_s"] <= 60.0))


if __name__ == "__main__":
    main()
