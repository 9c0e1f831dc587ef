"""Exported networks beside eager PyTorch: how fast at batch 1 on one thread, and how many test pictures wrong.

    python benchmarks/exports.py clothing runs/clothing dtd10 runs/dtd10

Arguments are pairs of a data set of ../shared/data and a finished run on it. Of each front three networks are taken,
spread over it. Runtimes are timed in turn with each other (`latency.clock`). Int8 is told twice: with products that
cannot saturate, as the file means them, and as this CPU computes them unless told otherwise: without VNNI these differ.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import SHARED, write

import naturalize
from naturalize.data import Pixels, open_data
from naturalize.exporting.onnx_file import LOGITS, PIXELS
from naturalize.exporting.onnx_model import PRECISE, make_session
from naturalize.latency.clock import ratios
from naturalize.progress import silent
from naturalize.run import Run
from naturalize.run.run import RunNetwork

NETWORKS, ROUNDS, BATCH = 3, 15, 50


def session(path: Path, precise: bool):
    """An ONNX file on one thread."""
    return make_session(path, 1, PRECISE if precise else {})


def figures(network: RunNetwork, pixels: np.ndarray, labels: np.ndarray) -> dict:
    """Times over eager torch and test errors of one network by runtime."""
    with tempfile.TemporaryDirectory() as directory:
        files = {format: Path(directory) / f"{format}.onnx" for format in ("onnx", "onnx-int8")}
        for format, path in files.items():
            architecture = network.measured.architecture
            naturalize.export(network.run, path, format=format, architecture=architecture)
        sessions = {
            "onnx": session(files["onnx"], False),
            "int8": session(files["onnx-int8"], True),
            "int8, saturating": session(files["onnx-int8"], False),
        }
        module = network.load().subnet.eval()
        one = pixels[:1]
        tensor = torch.from_numpy(one)

        def eager() -> None:
            with torch.inference_mode():
                module(tensor)

        runs = [lambda each=each: each.run([LOGITS], {PIXELS: one}) for each in sessions.values()]
        found = np.median(ratios(runs, eager, ROUNDS, lambda: None), axis=0)
        batches = range(0, len(pixels), BATCH)
        with torch.inference_mode():
            logits = {"eager": torch.cat([module(torch.from_numpy(pixels[i : i + BATCH])) for i in batches]).numpy()}
        for name, each in sessions.items():
            logits[name] = np.concatenate([each.run([LOGITS], {PIXELS: pixels[i : i + BATCH]})[0] for i in batches])
        expected = logits["eager"].argmax(1)
        return {
            "architecture": network.measured.architecture,
            "resolution": network.measured.resolution,
            "madds": network.measured.madds,
            "bytes": {format: path.stat().st_size for format, path in files.items()},
            "times_as_fast_as_eager": {
                name: round(1 / float(ratio), 2) for name, ratio in zip(sessions, found, strict=True)
            },
            "int8_over_onnx": round(float(found[0] / found[1]), 2),
            "saturating_over_onnx": round(float(found[0] / found[2]), 2),
            "error": {name: round(100 * float(np.mean(of.argmax(1) != labels)), 1) for name, of in logits.items()},
            "agreement": {
                name: round(100 * float(np.mean(of.argmax(1) == expected)), 1) for name, of in logits.items()
            },
        }


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for data, directory in zip(arguments.pairs[::2], arguments.pairs[1::2], strict=True):
        run = Run(directory)
        dataset = open_data(str(SHARED / f"{data}-train.parquet"))
        dataset.scan_test(silent)
        front = run.front()
        for place in np.linspace(0, len(front) - 1, NETWORKS).round().astype(int):
            network = RunNetwork(run, front[place])
            side = network.measured.resolution
            test = Pixels(dataset, dataset.splits["test"], [side])
            row = {"data": data, **figures(network, test(np.arange(len(test)), side), np.asarray(test.labels))}
            rows.append(row)
            print(row, flush=True)
    write("exports", {"rows": rows})


if __name__ == "__main__":
    main()
