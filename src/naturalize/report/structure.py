"""The structure of networks as the page draws it: stages of blocks, each with kernel, channels, stride and side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from naturalize.numbers import plural
from naturalize.report.insides import Insides
from naturalize.space import Architecture
from naturalize.supernet.family import LayerSpec
from naturalize.tasks import SEGMENTATION

KEY = """A box is a block: the wider it is, the more channels its inner layer has; the taller, and the other in colour,
the larger its kernel. Below it stands the kernel, and ×4 for four times the block's channels inside, or → with their
number. Dashed blocks are left out."""
INNER = {"inverted_residual": "expanded", "bottleneck": "squeezed"}  # what a spec calls the channels of the inner layer
KERNEL = {"bottleneck": 3, "max_pool": 3}  # of specs that do not say it


def structures(insides: Insides, archs: Sequence[Architecture]) -> dict[str, Any]:
    """What `structure.js` draws.

    Returns:
        `blocks`, each distinct one once: kind, kernel, channels before, inside and after, stride, channels of its
        squeeze-and-excite (0 for none), whether its input is added; and `networks`, each a resolution, its head in
        words, the head's share of multiply-adds in percent (`rest`), and stages: name, most blocks where their number
        is searched (else 0), side and channels of the map, share of multiply-adds, and positions in `blocks`.
    """
    known: dict[tuple[Any, ...], int] = {}
    codes = insides.family.space.codes(archs)
    shares = stage_shares(insides, codes)
    mixed = insides.family.mixed_channels(codes).tolist()
    classes = len(insides.run.class_names)
    most = [sum(v.group == group for v in insides.family.space.variables) for group in groups_of(insides)]
    networks = []
    for row, arch in enumerate(archs):
        scales = [[layer.spec for layer in scale] for scale in insides.family.present(arch, insides.channels)]
        side = resolution = insides.family.resolutions[arch.code[0]]
        channels = insides.channels
        stages: list[dict[str, Any]] = []
        for number, (name, scale) in enumerate(zip(stage_names(insides, len(scales)), scales, strict=True)):
            blocks = []
            for spec in scale:
                blocks.append(known.setdefault(block_of(spec, channels), len(known)))
                side = -(-side // spec.get("stride", 2))
                channels = spec.get("cout", channels)
            stages.append(
                {
                    "name": name,
                    "most": most[number - 1] if 1 <= number <= len(most) else 0,
                    "side": side,
                    "channels": channels,
                    "share": round(100 * shares[row].get(name, 0.0), 1),
                    "blocks": blocks,
                }
            )
        mix = f"1×1 to {mixed[row]} channels, " if mixed[row] else ""
        head = f"mean over the map, {mix}{plural(classes, 'class', 'classes')}"
        if insides.run.kind == SEGMENTATION:
            head = f"reduced ASPP on maps of three sizes, {plural(classes, 'class', 'classes')} for each pixel"
        rest = round(100 - 100 * sum(shares[row].get(stage["name"], 0.0) for stage in stages), 1)
        networks.append({"resolution": resolution, "stages": stages, "head": head, "rest": rest})
    return {"blocks": [list(block) for block in known], "networks": networks}


def block_of(spec: LayerSpec, channels: int) -> tuple[Any, ...]:
    """A block by what is drawn of it; see `structures`."""
    kind = spec["kind"]
    cin, cout = spec.get("cin", channels), spec.get("cout", channels)
    inner = spec[INNER[kind]] if kind in INNER else cout
    excite = spec["squeezed"] if kind == "inverted_residual" else 0
    stride = spec.get("stride", 2)
    kernel = KERNEL.get(kind) or spec["kernel"]
    adds = (
        bool(spec.get("skip")) or kind == "bottleneck" or (kind == "inverted_residual" and stride == 1 and cin == cout)
    )
    return kind, kernel, cin, inner, cout, stride, excite, int(adds)


def groups_of(insides: Insides) -> list[str]:
    """Names of the groups of variables, in order: the stages."""
    return list(dict.fromkeys(variable.group for variable in insides.family.space.variables if variable.group))


def stage_names(insides: Insides, scales: int) -> list[str]:
    """Names of the scales of a network's layers, as the layer table begins its names."""
    names = ["stem", *groups_of(insides)]
    return [*names, *["final"] * (scales - len(names))]


def stage_shares(insides: Insides, codes: np.ndarray) -> list[dict[str, float]]:
    """Share of multiply-adds of each stage, for each of n networks; the stem has the block that follows it."""
    table = insides.layers(codes)
    madds = table.madds()
    totals = madds.sum(axis=1)
    names = [name.split(".")[0].replace("first", "stem") for name in table.name.tolist()]
    found: list[dict[str, float]] = [{} for _ in codes]
    for name in dict.fromkeys(names):
        part = madds[:, [other == name for other in names]].sum(axis=1) / np.maximum(totals, 1)
        for row, share in enumerate(part.tolist()):
            found[row][name] = share
    return found
