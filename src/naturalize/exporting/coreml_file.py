"""Core ML: `model.mlpackage`, a directory, an ML program of float32 for one picture. It is converted, not run.

Core ML runs on Apple's systems alone, so nothing here can check such a file: its card and the command say so.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path

import torch

from naturalize.exporting.extras import library, quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.torch_export_file import program_of

EXTRA = "coreml"
PIXELS, LOGITS = "pixels", "logits"
MANIFEST, DATA = "Manifest.json", "Data"
DATE = "com.github.apple.coremltools.conversion_date"
NOT_RUN = "Core ML runs on macOS and iOS alone; compare its answers with the network's there before you ship it"


def coreml_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The files of the package by their paths, the manifest first: without it the others are none."""
    coreml = library("coremltools", EXTRA)
    with tempfile.TemporaryDirectory(prefix="naturalize-coreml-") as directory, quiet():
        # Converting what `jit.trace` gives fails with NumPy 2.4, and programs have to be decomposed by the caller.
        program = program_of(network, 1, torch.float32).run_decompositions({})
        model = coreml.convert(
            program,
            inputs=[coreml.TensorType(name=PIXELS, shape=tuple(program.example_inputs[0][0].shape))],
            outputs=[coreml.TensorType(name=LOGITS)],
            minimum_deployment_target=coreml.target.iOS15,
            compute_precision=coreml.precision.FLOAT32,
            skip_model_load=True,
        )
        model.user_defined_metadata.pop(DATE, None)
        path = Path(directory) / "model.mlpackage"
        model.save(str(path))
        parts = [each for each in sorted((path / DATA).rglob("*")) if each.is_file()]
        found = {each.relative_to(path).as_posix(): each.read_bytes() for each in parts}
        manifest = same_identifiers((path / MANIFEST).read_text(encoding="utf-8"))
    return {f"{name}/{part}": content for part, content in {MANIFEST: manifest, **found}.items()}


def same_identifiers(manifest: str) -> bytes:
    """A package's manifest whose identifiers, which are drawn by chance, come from what they identify."""
    items = json.loads(manifest)["itemInfoEntries"]
    for identifier, item in items.items():
        manifest = manifest.replace(identifier, str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])))
    return json.dumps(json.loads(manifest), indent=1, sort_keys=True).encode()


def coreml_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return "macOS 12 or iOS 15, float pixels 0..255, one picture at a time; not run here"
