"""Measure the networks of this directory where this program runs, by onnxruntime and NumPy alone.

python measure.py                     writes table.json beside it
python measure.py --threads 4 --to pi.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # which writes to the home of whoever imports the next line
import onnxruntime

try:
    from clock import Once, burst, ratios, runs_for, spread_of
except ImportError:  # within naturalize
    from naturalize.latency.clock import Once, burst, ratios, runs_for, spread_of

HERE = Path(__file__).parent
GROUP = 8  # networks that are open at once
ROUNDS = 3  # bursts of each


def opened(path: Path, threads: int, shape: list[int]) -> Once:
    """A network as onnxruntime runs it on the CPU; its threads do not spin between runs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.random.default_rng(0).integers(0, 256, (1, *shape)).astype(np.uint8)}
    return lambda: session.run(None, feed)


def measured(manifest: dict, threads: int) -> None:
    """Give every network of a manifest its milliseconds and their relative standard error."""
    networks = manifest["networks"]
    reference = opened(HERE / manifest["reference"]["file"], threads, manifest["reference"]["shape"])
    runs = runs_for(reference)
    reference_ms = 1e3 * min(burst(reference, runs) for _ in range(20))
    for first in range(0, len(networks), GROUP):
        group = networks[first : first + GROUP]
        sessions = [opened(HERE / network["file"], threads, network["shape"]) for network in group]
        found = ratios(sessions, reference, ROUNDS, lambda: None)
        for network, ratio, spread in zip(group, np.median(found, axis=0), spread_of(found), strict=True):
            network["milliseconds"] = round(float(ratio) * reference_ms, 6)
            network["spread"] = round(float(spread), 4)
        print(f"\r{min(first + GROUP, len(networks))} of {len(networks)} networks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of one network; 1 unless told")
    parser.add_argument("--to", type=Path, default=HERE / "table.json", help="file to write; table.json unless told")
    arguments = parser.parse_args()
    if not os.access(arguments.to.parent, os.W_OK) or arguments.to.is_dir():  # told before minutes of measuring
        parser.error(f"{arguments.to} cannot be written: name a file in a directory that is there")
    manifest = json.loads((HERE / "networks.json").read_text(encoding="utf-8"))
    measured(manifest, arguments.threads)
    manifest["runtime"] = f"onnxruntime {onnxruntime.__version__}"
    manifest["device"] = f"{platform.system()} {platform.machine()} {platform.node()}"
    manifest["threads"] = arguments.threads
    beside = arguments.to.with_name(f".{arguments.to.name}.new")
    beside.write_text(json.dumps(manifest), encoding="utf-8")
    beside.replace(arguments.to)
    print(f"wrote {arguments.to}: minimise it with `naturalize transfer ... -o error -o latency:{arguments.to}`")


if __name__ == "__main__":
    main()
