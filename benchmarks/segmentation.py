"""Segmentation beside the stupidest rivals: one network of the same supernet, fine-tuned alone for the same time.

    python benchmarks/segmentation.py --budget 40m --seeds 0 1 2 --runs /tmp/segmentation

CamVid at 240x180 (../shared/data), void left out. `nat` is a transfer; `largest` and `smallest` train that network of
the supernet at one resolution, from the same weights and with the validation pictures, and read it once on test. The
ONNX file of the transfer's best network answers all test pictures too. Run on an idle machine: each way has the same
wall clock. A benchmark that was stopped goes on where it was; of `largest` and `smallest`, the training that was under
way begins again. Results: benchmarks/results/segmentation.json.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from common import SHARED, write

import naturalize
from naturalize.data import Pixels
from naturalize.data.opening import open_data
from naturalize.finetuning import trained
from naturalize.last_adaptation import with_validation
from naturalize.lifecycle import work
from naturalize.objectives import COST
from naturalize.options import make_settings
from naturalize.preparing import start
from naturalize.run import Run
from naturalize.terminal import Terminal
from naturalize.testing import test_facts
from naturalize.training.adapt import Extent
from naturalize.training.evaluate import fold
from naturalize.workbench import Workbench

NAMES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
DATA, VOID = SHARED / "camvid-train.parquet", 11
SIDE = 224  # that the largest network is trained at, in pixels, where the budget has time for it
END = 0.05  # share of a budget for reading the test pictures


def nat(seed: int, budget: str, runs: Path) -> dict[str, Any]:
    """The test mIoU of a transfer's networks over their multiply-adds, and that of the best one's ONNX file."""
    run = naturalize.transfer(DATA, runs / f"nat-{seed}", budget=budget, ignore=[VOID], classes=NAMES, seed=seed)
    networks = [[n.madds / 1e6, 100.0 - (n.test_error or 100.0), n.resolution] for n in run.front()]
    madds = [each[0] for each in networks]
    best = run.best().measured
    mious = [each[1] for each in networks]
    return {
        "networks": np.round(networks, 2).tolist(),
        "number": len(networks),
        "factor": round(max(madds) / min(madds), 2),
        "best_by_validation": 100.0 - (best.test_error or 100.0),
        "best": max(mious),
        "onnx": of_file(run, run.front()[int(np.argmax(mious))].architecture, runs / f"nat-{seed}.onnx"),
    }


def of_file(run: Run, architecture: str, path: Path) -> float:
    """The mIoU of a network's ONNX file on all test pictures, by onnxruntime."""
    side = run.network(architecture).measured.resolution
    naturalize.export(run, path, architecture=architecture, overwrite=True)
    session = onnxruntime.InferenceSession(path)
    dataset = open_data(str(DATA), classes=NAMES, ignore=[VOID])
    dataset.scan_test()
    pixels = Pixels(dataset, dataset.splits["test"], [side])
    answers = []
    for row in range(len(pixels)):
        (logits,) = session.run(None, {session.get_inputs()[0].name: pixels([row], side)})
        answers.append(run.task.answers(torch.from_numpy(logits), torch.from_numpy(pixels.labels[[row]])))
    return 100.0 - run.task.error(torch.cat(answers))


def alone(way: str, seed: int, budget: str, runs: Path) -> dict[str, Any]:
    """The test mIoU of one network that has the whole budget."""
    found: dict[str, Any] = {}

    def do(bench: Workbench) -> None:
        start(bench)
        space, family = bench.space, bench.supernet.family
        if way == "largest":
            side = max(side for side in family.resolutions if side <= SIDE)
            arch = space.architectures(space.wholes())[family.resolutions.index(side)]
        else:
            arch = space.architectures(space.corners())[0]
        budget_s = bench.run.settings.budget_s or 0.0
        extent = Extent(seconds=(1 - END) * budget_s - bench.watch.used_s)
        network = trained(with_validation(bench), bench.subnets.of(arch), arch, extent)
        bench.dataset.scan_test(bench.watch.progress)
        side = bench.subnets.resolution(arch)
        pixels = Pixels(bench.dataset, bench.dataset.splits["test"], [side])
        facts = test_facts(bench, fold(network), arch.text, side, pixels)
        madds = float(bench.costs[COST](np.array([arch.code]))[0])
        found.update(mIoU=100.0 - facts["test_error"], madds=madds / 1e6, side=side, used_s=bench.watch.used_s)

    settings = make_settings(str(DATA), budget, None, None, seed=seed, ignore=[VOID], classes=NAMES)
    with Terminal() as terminal:
        work(DATA, runs / f"{way}-{seed}", settings, [terminal], None, do=do)
    return found


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="40m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--ways", nargs="+", choices=["nat", "largest", "smallest"], default=["nat", "largest", "smallest"]
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/segmentation"))
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        for way in arguments.ways:
            rows.append(row_of(way, seed, arguments.budget, arguments.runs))
            print(rows[-1], flush=True)
    means = {
        way: round(float(np.mean([best_of(row) for row in rows if row["way"] == way])), 2) for way in arguments.ways
    }
    print("mean of the best mIoU:", means)
    write("segmentation", {"budget": arguments.budget, "rows": rows, "means": means})


def row_of(way: str, seed: int, budget: str, runs: Path) -> dict[str, Any]:
    """The figures of one way; those of an earlier call where they are there."""
    path = runs / f"{way}-{seed}-{budget}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    if way == "nat":
        row = {"way": way, "seed": seed, **nat(seed, budget, runs)}
    else:
        shutil.rmtree(runs / f"{way}-{seed}", ignore_errors=True)
        row = {"way": way, "seed": seed, **alone(way, seed, budget, runs)}
    path.write_text(json.dumps(row))
    return row


def best_of(row: dict[str, Any]) -> float:
    """The largest test mIoU of a row."""
    return float(row["best"] if row["way"] == "nat" else row["mIoU"])


if __name__ == "__main__":
    main()
