"""The paper's problem of 12 objectives: errors on eleven data sets and multiply-adds, in one search.

    python benchmarks/twelve_objectives.py --budget 60m --runs /tmp/twelve --mnist mnist5k.npz

Data are those of ../shared/data beside scikit-learn's digits and MNIST (any file that a transfer takes). The run is
killed by SIGKILL at the given minutes, and resumed. Then, under its final weights, all architectures that it measured
are put beside as many that random search measures, and NSGA-III without a predictor: IGD+ to the best of all.
"""

import argparse
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, write

from naturalize.joint.lifecycle import opened_bench, read_all, sources_of
from naturalize.joint.page import divided, phase_seconds_of_all
from naturalize.joint.run import JointRun
from naturalize.joint.turns import Turns
from naturalize.objectives import COST, ERROR
from naturalize.report.reading import phase_seconds, read_events
from naturalize.run import Watch
from naturalize.search import non_dominated, search
from naturalize.search.problem import Floats
from naturalize.session import Session
from naturalize.space import Codes
from naturalize.study.truths import igd_plus
from naturalize.workbench import Workbench, chosen_images

SETS = (
    "cifar10", "cifar100", "flowers102", "oxford_pets", "dtd10", "food101_6", "stanford_cars", "tiny_imagenet",
    "clothing",
)  # fmt: skip
IMAGES = 200  # validation pictures of each data set that the searches are compared on
RIVALS = ("random", "nsga3")


def completed(arguments: list[str], out: Path, kills_s: list[float]) -> dict[str, Any]:
    """A joint run to its end, killed on the way; its wall clock, and where the time went."""
    begin, command = time.monotonic(), [sys.executable, "-m", "naturalize"]
    done = 0
    while True:
        told = ["resume", str(out)] if (out / "run.toml").exists() else ["transfer", *arguments, "--out", str(out)]
        process = subprocess.Popen([*command, *told], stdout=subprocess.DEVNULL)
        while process.poll() is None and not (kills_s and time.monotonic() - begin > kills_s[0]):
            time.sleep(0.2)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills_s, done = kills_s[1:], done + 1
            continue
        if process.returncode:
            raise SystemExit(f"the transfer ended with {process.returncode}")
        break
    run = JointRun(out)
    seconds = divided(phase_seconds_of_all(out))
    for name in run.sets:
        seconds = seconds + divided(phase_seconds(read_events(out / name)))
    front = run.front()
    errors = np.array([[own["test_error"] for own in network["sets"].values()] for network in front["networks"]])
    return {
        "wall_s": round(time.monotonic() - begin, 1),
        "kills": done,
        "training_s, measuring_s, other_s": seconds.round(1).tolist(),
        "share_of_other": round(float(seconds[2] / seconds.sum()), 4),
        "iterations": [
            {key: fact[key] for key in ("weights_version", "hypervolume", "networks")} for fact in front["hypervolume"]
        ],
        "networks": len(front["networks"]),
        "madds_M": [round(network[COST] / 1e6, 3) for network in front["networks"]],
        "best_test_error": dict(zip(run.sets, errors.min(axis=0).round(2).tolist(), strict=True)),
    }


def compared(out: Path, seeds: list[int]) -> dict[str, Any]:
    """IGD+ of what the run and its rivals have measured, under the final weights, to the best of all together."""
    run, watch = JointRun(out), Watch([], time.monotonic())
    turns = Turns(watch, run.sets)
    datasets = read_all(out, run.settings, sources_of(run, {}), turns)
    with ExitStack() as stack:
        benches: dict[str, Workbench] = {}
        for name, dataset in datasets.items():
            benches[name] = stack.enter_context(opened_bench(run, name, dataset, turns, True))
            Session(benches[name])
            bench = benches[name]
            bench.error.images = chosen_images(bench.val, 0, min(IMAGES, len(bench.val)), 1)
        known: dict[tuple[int, ...], dict[str, float]] = {}

        def evaluate(codes: Codes) -> dict[str, Floats]:
            for code in codes:
                key = tuple(code.tolist())
                if key not in known:
                    known[key] = {
                        f"{ERROR}@{name}": float(bench.measures[ERROR].measure(code[None]).values[0])
                        for name, bench in benches.items()
                    }
            found = [known[tuple(code)] for code in codes.tolist()]
            return {name: np.array([each[name] for each in found]) for name in found[0]}

        first = next(iter(benches.values()))
        objectives = [f"{ERROR}@{name}" for name in benches] + [COST]
        with closing(run.archive()) as archive:
            members = [archive.members(facts["iteration"]) for facts in archive.iterations()]
        codes = run.space.codes(list(dict.fromkeys(arch for each in members for arch in each)))
        cost, errors = first.costs[COST], evaluate(codes)
        results = {("run", seeds[0]): np.column_stack([*(errors[name] for name in objectives[:-1]), cost(codes)])}
        for method, seed in product(RIVALS, seeds):
            results[method, seed] = search(
                run.space, evaluate, objectives, exact={COST: cost}, evaluations=len(codes), method=method, seed=seed
            ).values
            print(f"{method}, seed {seed}: {len(known)} architectures measured", flush=True)
    everything = np.concatenate(list(results.values()))
    low, high = everything.min(axis=0), everything.max(axis=0)
    scaled = {key: (values - low) / np.where(high > low, high - low, 1.0) for key, values in results.items()}
    together = np.concatenate(list(scaled.values()))
    front = together[non_dominated(together)]
    found: dict[str, list[float]] = {}
    for (method, _), values in scaled.items():
        found.setdefault(method, []).append(round(igd_plus(values, front), 5))
    return {"measured": len(codes), "images": IMAGES, "points_of_the_front": len(front), "igd_plus": found}


def main() -> None:
    """Run, compare, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="60m")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--mnist", required=True)
    parser.add_argument("--kill", type=float, nargs="*", default=[4.0, 21.0, 44.0], help="minutes")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--load", default="idle", help="what else the machine did, for the record")
    asked = parser.parse_args()
    out = asked.runs / f"twelve-{asked.budget}"
    sets = [f"{name}={SHARED / name}-train.parquet" for name in SETS]
    arguments = [*sets, "digits", f"mnist={asked.mnist}", "--supernet", "mini", "--budget", asked.budget]
    result = {"budget": asked.budget, "load": asked.load}
    result["run"] = completed(arguments, out, [60 * minute for minute in asked.kill])
    print(result["run"], flush=True)
    result["search"] = compared(out, asked.seeds)
    write("twelve_objectives", result)


if __name__ == "__main__":
    main()
