"""Tables of latencies that were made elsewhere: ours, of measured networks, and Once-for-All's, of layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.latency.making import Judged, judge
from naturalize.latency.model import FIELDS, LatencyModel, Samples, fit, layer_keys
from naturalize.numbers import plural
from naturalize.space import Codes, SearchSpace
from naturalize.supernet.layers import Ints, LayerTable, every_option

KIND = "naturalize latencies"  # what a table of ours says that it is
FORMAT = 1
LEAST = 16  # networks of a table of ours
LARGEST_BYTES = 64_000_000  # of a table
NAMED = 3  # gaps that a message names


@dataclass(frozen=True)
class BlockTable:
    """Milliseconds of blocks, by the keys of Once-for-All's latency tables (Cai et al., ICLR 2020, section 4).

    Attributes:
        milliseconds: by key, as `expanded_conv-input:112x112x16-output:56x56x24-expand:64-kernel:3-stride:2-idskip:0`.
    """

    milliseconds: Mapping[str, float]
    constant: float = 0.0

    def nanoseconds(self, table: LayerTable) -> Ints:
        """Nanoseconds of each operator, a block's at its depthwise convolution; 0 for what has no entry. `(n, L)`"""
        keys = self.keys(table)
        distinct, place = np.unique(keys, return_inverse=True)
        found = np.array([self.of(key) or 0.0 for key in distinct.tolist()])
        return np.rint(1e6 * found).astype(np.int64)[place.reshape(keys.shape)]

    def keys(self, table: LayerTable) -> NDArray[np.str_]:
        """The key of each operator that stands for a block, empty for the others. `(n, L)`"""
        return block_keys(table, ratios=not any("-se:" in key for key in self.milliseconds))

    def of(self, key: str) -> float | None:
        """Milliseconds of a key. A classifier may have another number of classes: it is the same for all networks."""
        if key in self.milliseconds or not key.startswith("Logits-"):
            return self.milliseconds.get(key)
        start = key[: key.rindex(":") + 1]
        return next((value for other, value in self.milliseconds.items() if other.startswith(start)), None)


def block_keys(table: LayerTable, ratios: bool) -> NDArray[np.str_]:
    """Once-for-All's key of each operator that stands for a block, empty for the others. `(n, L)`

    Args:
        table: of whole networks of inverted residuals.
        ratios: whether expansions are named by their ratio, as ProxylessNAS' tables do, rather than by channels.
    """
    keys = np.full(table.present.shape, "", dtype=object)
    names = [str(name) for name in table.name]
    for place, name in enumerate(names):
        start, _, part = name.rpartition(".")
        if part == "depthwise":
            before = place if f"{start}.expand" not in names else names.index(f"{start}.expand")
            project = names.index(f"{start}.project")
            columns = [(before, "cin"), (before, "size_in"), (project, "cout"), (project, "size_out")]
            columns += [(place, "cin"), (place, "kernel"), (place, "stride"), (project, "adds")]
            se, swish = int(f"{start}.squeeze" in names), int(table.activation[place] == "h_swish")
            told = block_key(ratios, se, swish)
        elif name in SINGLE and not (ratios and name in ("pool", "mix")):
            # ProxylessNAS' classifier is one layer with the pool before it
            reads = names.index("pool") if ratios and name == "classifier" else place
            columns = [(reads, "cin"), (reads, "size_in"), (place, "cout"), (place, "size_out")]
            told = single_key(SINGLE[name])
        else:
            continue
        values = np.stack([getattr(table, field)[:, at] for at, field in columns], axis=1).astype(np.int64)
        distinct, of_row = np.unique(values, axis=0, return_inverse=True)
        texts = np.array([told(*row) for row in distinct.tolist()], dtype=object)
        keys[:, place] = np.where(table.present[:, place], texts[of_row.ravel()], "")
    return keys.astype(np.str_)


SINGLE = {"stem": "Conv", "final": "Conv_1", "pool": "AvgPool2D", "mix": "Conv_2", "classifier": "Logits"}


def single_key(kind: str) -> Callable[..., str]:
    """The key of an operator that is a layer of its own, as a function of its shape."""

    def told(cin: int, size_in: int, cout: int, size_out: int) -> str:
        output = f"{cout}" if kind == "Logits" else f"{size_out}x{size_out}x{cout}"
        return f"{kind}-input:{size_in}x{size_in}x{cin}-output:{output}"

    return told


def block_key(ratios: bool, se: int, swish: int) -> Callable[..., str]:
    """The key of a block, as a function of its shape."""

    def told(cin: int, size_in: int, cout: int, size_out: int, mid: int, kernel: int, stride: int, skip: int) -> str:
        key = (
            f"expanded_conv-input:{size_in}x{size_in}x{cin}-output:{size_out}x{size_out}x{cout}"
            f"-expand:{round(mid / cin) if ratios else mid}-kernel:{kernel}-stride:{stride}-idskip:{skip}"
        )
        return key if ratios else f"{key}-se:{se}-hs:{swish}"

    return told


def read_table(path: str) -> dict[str, Any]:
    """The content of a table. Raises `UserError` where there is none."""
    file = Path(path)
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{path} is too large for a table of latencies: it has more than {LARGEST_BYTES:,} bytes")
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix.lower() == ".json" else yaml.load(text, yaml.CSafeLoader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is no table of latencies: it cannot be read as {file.suffix[1:]}") from error
    except OSError as error:
        raise UserError(f"the table {path} cannot be read: {error.strerror}") from error
    if file.suffix.lower() == ".json":
        check_ours(content, path)
    elif not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path} is no look-up table of Once-for-All: it has no layers with a mean each")
    else:
        means_of(content, path)
    return content


def check_ours(content: Any, path: str) -> None:
    """Raise `UserError` for what is no table of measured networks."""
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UserError(f"{path} is no table of latencies: make one with `naturalize latency --for RUN --to DIR`")
    if content.get("format") != FORMAT or content.get("fields") != list(FIELDS):
        raise UserError(f"{path} is of another version of naturalize: make it anew with `naturalize latency`")
    try:
        keys = np.array(content["keys"], np.int64).reshape(-1, len(FIELDS))
        for network in content["networks"]:
            places = np.array(network["layers"], np.int64)
            if not (places.size and places.min() >= 0 and places.max() < len(keys)):
                raise ValueError(f"{network['file']} has a layer that is not in the table")
            taken = network.get("milliseconds")
            if taken is not None and not 0 < float(taken) < np.inf:
                raise ValueError(f"{network['file']} takes {taken} ms")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is damaged ({error}): measure again") from error
    missing = [network["file"] for network in content["networks"] if network.get("milliseconds") is None]
    if len(content["networks"]) - len(missing) < LEAST:
        raise UserError(
            f"{path} has times of {len(content['networks']) - len(missing)} networks, fewer than {LEAST}; it lacks "
            f"{', '.join(missing[:NAMED]) or 'them'}: run the measurement to its end"
        )


def model_of_table(
    path: str, space: SearchSpace, layers: Callable[[Codes], LayerTable]
) -> tuple[LatencyModel | BlockTable, dict[str, Any]]:
    """The latency model of a table, and facts about it.

    Args:
        path: of the table.
        space, layers: of the networks that are asked about.

    Raises:
        UserError: it is no table, or one of other networks; gaps are named.
    """
    content = read_table(path)
    if content.get("kind") != KIND:
        return block_table(content, path, every_layer(space, layers)), {"machine": {"table": path}}
    samples, judges = samples_of(content)
    judged = judge(fit(samples), judges) if judges else Judged(0, None, 0.0)
    for keys, seconds in judges:
        samples.add(keys, seconds)
    asked = layer_keys(every_layer(space, layers)).reshape(-1, len(FIELDS))
    distinct = {tuple(key) for key in asked[asked[:, 0] >= 0].tolist()}
    unknown = len(distinct - set(map(tuple, samples.keys.tolist())))
    if 2 * unknown > len(distinct):
        raise UserError(
            f"{path} is a table of other networks: it has none with {unknown} of the {len(distinct)} layers that are "
            "searched; make one with `naturalize latency --for RUN` for a run like this one"
        )
    facts = {
        "machine": {name: content[name] for name in ("device", "runtime", "threads", "batch") if name in content},
        "fitted_to": len(samples.rows),
        "networks": judged.networks,
        "spearman": judged.spearman,
        "median_error": judged.median_error,
        "unmeasured_layers": unknown,
    }
    return fit(samples), facts


def samples_of(content: dict[str, Any]) -> tuple[Samples, list[tuple[Ints, float]]]:
    """Measured networks of a table of ours: those to fit a model to, and those that judge it."""
    keys = np.array(content["keys"], np.int64).reshape(-1, len(FIELDS))
    samples, judges = Samples(), []
    for network in content["networks"]:
        if network.get("milliseconds") is None:
            continue
        of_network, seconds = keys[network["layers"]], 1e-3 * float(network["milliseconds"])
        if network.get("judge"):
            judges.append((of_network, seconds))
        else:
            samples.add(of_network, seconds)
    return samples, judges


def block_table(content: dict[str, Any], path: str, table: LayerTable) -> BlockTable:
    """Once-for-All's look-up table. Raises `UserError` where it is none, or the networks have no such blocks."""
    if not any(str(name).endswith(".depthwise") for name in table.name):
        raise UserError(f"{path} is a look-up table of inverted residuals, which this supernet does not have")
    found = BlockTable(means_of(content, path))
    keys = [key for key in np.unique(found.keys(table)).tolist() if key]
    if gaps := [key for key in keys if found.of(key) is None]:
        more = f" and {len(gaps) - NAMED} more" if len(gaps) > NAMED else ""
        raise UserError(
            f"{path} lacks {len(gaps)} of the {plural(len(keys), 'layer')} that this supernet may have: "
            f"{', '.join(gaps[:NAMED])}{more}; add them, or make a table with `naturalize latency`"
        )
    return found


def means_of(content: dict[str, Any], path: str) -> dict[str, float]:
    """Milliseconds by layer of Once-for-All's look-up table. Raises `UserError` where it is none."""
    try:
        means = {key: float(entry["mean"]) for key, entry in content.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no look-up table of Once-for-All: it has layers without a mean") from error
    wrong = next((key for key, mean in means.items() if not 0 <= mean < np.inf), None)
    if wrong is not None:
        raise UserError(f"{path} has no time for {wrong}: its mean is {means[wrong]}")
    return means


def every_layer(space: SearchSpace, layers: Callable[[Codes], LayerTable]) -> LayerTable:
    """The layer table of architectures that have every operator in every form that the space admits."""
    groups = sorted(set(layers(space.corners()).variables))
    return layers(np.concatenate([every_option(space, variables, space.lower) for variables in groups]))
