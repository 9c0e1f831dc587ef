"""Prepare `mini` on CIFAR-100 and bundle its weights, with a card that says how they came to be.

    python tools/mini_weights.py --data ../shared/data --run runs/mini --epochs 36
    python tools/mini_weights.py --data ../shared/data --run runs/mini --epochs 36 --bundle

The first may be stopped and started again at any time, and is repeatable to the bit on one machine; it prints errors on
validation images, a tenth of the training images kept apart. The second reads the test split and writes the files.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

import naturalize
from naturalize.data import Dataset, Pixels, open_data
from naturalize.errors import Interrupted, UserError
from naturalize.files import write_json
from naturalize.objectives.error import Error
from naturalize.run import Run
from naturalize.supernet import Supernet
from naturalize.tensor_files import save_tensors
from naturalize.training.subnets import Subnets
from naturalize.weights import BUNDLED

VALIDATION = 0.1
RANDOM = 20
SEED = 0


def cifar100(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Training, validation and test pictures `(n, 32, 32, 3)` with class names."""
    files = {split: str(folder / f"cifar100-{split}.parquet") for split in ("train", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files)
    names = np.array(loaded["train"].features["label"].names)

    def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
        part = loaded[split]
        return np.stack([np.asarray(image.convert("RGB")) for image in part["image"]]), names[part["label"]]

    images, labels = arrays("train")
    order = np.random.default_rng(SEED).permutation(len(images))
    cut = int(VALIDATION * len(order))
    kept, train = order[:cut], order[cut:]
    return {"train": (images[train], labels[train]), "val": (images[kept], labels[kept]), "test": arrays("test")}


def in_16_bits(supernet: Supernet) -> Supernet:
    """The supernet with its weights rounded as they are kept, so that figures are those of the file."""
    for parameter in supernet.parameters():
        parameter.data = parameter.data.half().float()
    return supernet


def accuracies(run: Run, supernet: Supernet, dataset: Dataset, split: str) -> dict[str, float]:
    """Of the largest, the smallest, and the mean of random subnets, in percent, with calibrated batch norm."""
    space = run.family.space
    rows = dataset.splits[split]
    images = Pixels(dataset, rows, run.family.resolutions)
    subnets = Subnets(supernet, run.stored("calibration"), torch.device("cpu"), run.keeps_statistics)
    error = Error(subnets, run.task, images)
    codes = np.concatenate([space.corners(), space.sample(RANDOM, np.random.default_rng(SEED))])
    found = 100.0 - error.measure(codes).values
    named = {"smallest": found[0], "largest": found[1], "random": found[2:].mean(), "random_sd": found[2:].std()}
    return {name: round(float(value), 2) for name, value in named.items()}


def bundle(supernet: Supernet, epochs: int, figures: dict[str, Any]) -> None:
    """Write the trained tensors in 16 bits, without the classifier, and the card."""
    kept = {
        name: tensor.detach().half().contiguous()
        for name, tensor in supernet.named_parameters()
        if ".classifier." not in name
    }
    save_tensors(BUNDLED / "mini.safetensors", kept)
    card = {
        "supernet": "mini",
        "data": "CIFAR-100 (Krizhevsky, 2009): 45,000 training and 5,000 validation images, 100 fine classes",
        "recipe": "sandwich rule: largest, smallest, two random subnets a batch, distilled from the largest",
        "command": f"python tools/mini_weights.py --data ../shared/data --run runs/mini --epochs {epochs} --bundle",
        "seed": SEED,
        "epochs": epochs,
        "accuracy": figures,
        "mean": supernet.normalize.mean.flatten().tolist(),
        "std": supernet.normalize.std.flatten().tolist(),
    }
    write_json(BUNDLED / "mini.json", card)
    print(f"wrote {BUNDLED / 'mini.safetensors'}, {(BUNDLED / 'mini.safetensors').stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Prepare or go on; then measure, and bundle where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--bundle", action="store_true")
    asked = parser.parse_args()
    data = cifar100(asked.data)
    run = naturalize.prepare(data, asked.run, supernet="mini", scratch=True, epochs=asked.epochs, seed=SEED)
    supernet, dataset = in_16_bits(run.trained_supernet()), open_data(data)
    figures: dict[str, Any] = {"val": accuracies(run, supernet, dataset, "val")}
    if asked.bundle:
        figures["test"] = accuracies(run, supernet, dataset, "test")
        bundle(supernet, asked.epochs, figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    try:
        main()
    except (UserError, Interrupted) as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
