"""kill -9 at random moments: what is lost, and whether the resumed run ends as an unbroken one.

    python benchmarks/kill.py [--rounds 10] [--jobs transfer prepare finetune study] [--to results/kill.json]

Each round starts a short job on three classes of 8x8 pictures (transfer: `--iterations 2 --epochs 6`, 8 architectures
at first), kills it at a moment drawn uniformly from the time an unbroken one takes, and gives the same command again; a
job that ends before the kill is repeated. Prints a row a round and writes a JSON file. Checked in every round:

- every measurement that was in the archive when the process was dead is there, the same, at the end;
- a kill in a training lost at most 60 s of it: the time from the last checkpoint, or the start, to the kill;
- what it leaves equals what the unbroken one left: architectures, measurements, weights, networks and front.json of a
  transfer, weights of a preparation and numbers of a study to the bit; of a fine-tuning, which goes by the clock, that
  all its networks are there and can be exported, and that it is over.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from common import machine
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import runs

os.environ["SAVE_S"] = "30"  # as users have it; the tests save after every step

HERE = Path(__file__).parent
TABLE = HERE.parent / "tests" / "fixtures" / "ofa-mbv3-w1.0-imagenet.csv"


@dataclass(frozen=True)
class Job:
    """A command that is killed and given again.

    Attributes:
        command: its arguments, by the directory that it works in.
        before: what has to be there first, by the directory.
        left: what an unbroken one leaves, to be equal in the end.
    """

    command: Callable[[Path], Sequence[object]]
    before: Callable[[Path], object]
    left: Callable[[Path], dict[str, Any]]


def jobs_on(data: Path, finished: Path) -> dict[str, Job]:
    """All of them, on pictures and on a finished transfer."""

    def nothing(out: Path) -> None:
        pass

    return {
        "transfer": Job(lambda out: ("transfer", data, *runs.SMALL, "--out", out), nothing, runs.left_by),
        "prepare": Job(
            lambda out: ("prepare", data, "--epochs", "12", "--seed", "1", "--out", out), nothing, prepared_in
        ),
        "finetune": Job(
            lambda out: ("finetune", out, "--budget", "30s"), lambda out: shutil.copytree(finished, out), finetuned_in
        ),
        "study": Job(
            lambda out: (
                "study",
                "predictors",
                TABLE,
                "--supernet",
                "ofa-mbv3-w1.0",
                "--predictor",
                "gaussian-process",
                "--seeds",
                "2",
                "--out",
                out,
            ),
            nothing,
            studied_in,
        ),
    }


def prepared_in(run: Path) -> dict[str, Any]:
    """The weights of a preparation, to the bit."""
    latest = run / "supernet" / (run / "supernet" / "latest").read_text().split()[0]
    return {"weights": {name: array.tobytes() for name, array in load_file(latest / "weights.safetensors").items()}}


def finetuned_in(run: Path) -> dict[str, Any]:
    """Of a fine-tuning, which goes by the clock: all its networks are there, can be used, and the job is over."""
    front = json.loads((run / "front.json").read_text(encoding="utf-8"))
    runs.command("report", run)
    runs.command("export", run, "--to", run / "model.onnx", "--overwrite")
    there = all((run / network["weights"]).exists() for network in front["networks"])
    return {"state": front["state"], "all there": there, "under way": (run / "finetuning").exists()}


def studied_in(out: Path) -> dict[str, Any]:
    """The numbers of a study that are no times."""
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {"rows": [{name: text for name, text in row.items() if not name.endswith("_s")} for row in rows]}


def one_round(job: Job, out: Path, after_s: float, unbroken: dict[str, Any]) -> dict[str, Any] | None:
    """Start, kill, give again, compare; None where the job ended before the kill."""
    job.before(out)
    process = runs.start(*job.command(out))
    started = time.time()
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if process.returncode != -signal.SIGKILL:
        return None
    died = time.time()
    found, phase = runs.measured(out), phase_of(out)
    saved = max((path.stat().st_mtime for path in (out / "supernet").glob("[0-9]*/state.json")), default=None)
    training = phase in ("prepare", "adapt")
    lost_s = round(died - (started if saved is None else saved), 2) if training else 0.0
    begin = time.monotonic()
    runs.command(*job.command(out), ends_s=5.0)
    left = job.left(out)
    return {
        "killed_after_s": round(after_s, 2),
        "phase": phase,
        "measurements_before": len(found),
        "measurements_lost": len(found - runs.measured(out)),
        "training_lost_s": lost_s,
        "resumed_in_s": round(time.monotonic() - begin, 2),
        "as_unbroken": left == unbroken,
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
    return follows.get(over[-1], f"after {over[-1]}") if over else "pixels"


def rounds_of(name: str, job: Job, scratch: Path, number: int, moments: random.Random) -> list[dict[str, Any]]:
    """So many rounds of a job, each told in a line."""
    first = scratch / f"{name} unbroken"
    job.before(first)
    begin = time.monotonic()
    runs.command(*job.command(first), ends_s=5.0)
    whole_s = time.monotonic() - begin
    unbroken = job.left(first)
    print(f"{name}: unbroken in {whole_s:.1f} s", flush=True)
    rounds: list[dict[str, Any]] = []
    for place in count():
        if len(rounds) == number:
            return rounds
        row = one_round(job, scratch / f"{name}{place}", moments.uniform(0.0, whole_s), unbroken)
        if row is None:
            continue
        rounds.append({"job": name, **row})
        print(
            f"{name:<9} {row['killed_after_s']:8.1f} s  {row['phase']:<9} {row['measurements_before']:9d} "
            f"{row['measurements_lost']:5d} {row['training_lost_s']:12.1f} s {row['resumed_in_s']:9.1f} s  "
            f"{'yes' if row['as_unbroken'] else 'NO'}",
            flush=True,
        )
    return rounds


def main() -> None:
    """Parse, work, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each job")
    parser.add_argument("--jobs", nargs="+", default=("transfer", "prepare", "finetune", "study"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--to", type=Path, default=HERE / "results" / "kill.json")
    asked = parser.parse_args()
    moments, rounds = random.Random(asked.seed), []
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        data, finished = runs.grey_pictures(scratch / "bands"), scratch / "finished"
        runs.command("transfer", data, *runs.SMALL, "--out", finished)
        print("job       killed at  while      measured  lost  training lost  resumed in  as unbroken")
        for name in asked.jobs:
            rounds += rounds_of(name, jobs_on(data, finished)[name], scratch, asked.rounds, moments)
    summary = {
        "rounds": len(rounds),
        "measurements_lost": sum(row["measurements_lost"] for row in rounds),
        "most_training_lost_s": max(row["training_lost_s"] for row in rounds),
        "as_unbroken": sum(row["as_unbroken"] for row in rounds),
    }
    print(summary)
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "summary": summary, "rounds": rounds}
    asked.to.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    good = summary["as_unbroken"] == len(rounds) and not summary["measurements_lost"]
    raise SystemExit(not (good and summary["most_training_lost_s"] <= 60.0))


if __name__ == "__main__":
    main()
