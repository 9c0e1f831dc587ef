"""Run directories made up for the tests of the report: every file of docs/formats.md that it reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from naturalize import journal
from naturalize.archive import Archive
from naturalize.objectives.exact import exact_counts
from naturalize.run.settings import Settings, write_settings
from naturalize.search import non_dominated
from naturalize.supernet import make_family
from naturalize.tasks import Classification

NAMES = ["café", "猫", "a b", "x,y", '"q"', "<i>"]


def made_up_front(networks: int = 9, class_names: list[str] | None = None, per_class: int = 80) -> dict[str, Any]:
    """A front as `docs/formats.md` has it, with errors that fall as networks grow."""
    names = class_names if class_names is not None else NAMES
    draw = np.random.default_rng(0)
    classes = len(names)
    images = classes * per_class
    made = []
    for index in range(networks):
        grown = index / max(networks - 1, 1)
        wanted = 0.22 - 0.17 * grown
        near = np.exp(-np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) / 1.5)
        np.fill_diagonal(near, 0)
        share = near / near.sum(axis=1, keepdims=True) * wanted * draw.uniform(0.3, 1.7, (classes, 1))
        np.fill_diagonal(share, 1 - share.sum(axis=1))
        confusion = np.stack([draw.multinomial(per_class, row) for row in share])
        error = 100 * (1 - np.trace(confusion) / images)
        architecture = "".join(map(str, draw.integers(0, 4, 12)))
        made.append(
            {
                "architecture": architecture,
                "resolution": 24 + 8 * (index % 4),
                "val_error": round(100 * wanted, 2),
                "val_images": images // 2,
                "val_error_views": round(100 * wanted + 0.1, 3),
                "test_error": float(error),
                "test_images": images,
                "madds": int(2e5 * 30**grown) + index,
                "params": int(5e4 * 12**grown) + index,
                "objectives": {"latency": 0.31 * 9**grown},
                "weights": f"networks/{architecture}.safetensors",
                "test_confusion": confusion.tolist(),
                "test_worst": [
                    {
                        "picture": f"pictures/{(index + k) % 16}.png",
                        "path": f"{names[k % classes]}/{k:03d}.jpg",
                        "class": names[k % classes],
                        "predicted": names[(k + 1) % classes],
                        "probability": 0.99 - 0.03 * k,
                    }
                    for k in range(12)
                ],
            }
        )
    return {
        "format": 1,
        "naturalize": "0.1.0",
        "state": "finished",
        "supernet": "mini",
        "task": "classification",
        "weights_version": 6,
        "objectives": ["error", "madds"],
        "requirements": [],
        "class_names": names,
        "majority_error": {"val": 100 - 100 / classes, "test": 100 - 100 / classes},
        "splits": {"train": 4 * images, "val": images // 2, "test": images},
        "val_views": 1,
        "reference": [83.3, 8e6],
        "hypervolume": [
            {"iteration": i, "weights_version": i, "hypervolume": 0.86 - 0.25 / (i + 1), "networks": 4 + i}
            for i in range(7)
        ],
        "networks": made,
        "notes": ["3 files are no images and were skipped: notes.txt, Thumbs.db, <b>.gif", "2 images are duplicates"],
    }


def stopped(front: dict[str, Any]) -> dict[str, Any]:
    """The same front as a run writes it that was interrupted."""
    for network in front["networks"]:
        network |= dict.fromkeys(("test_error", "test_images", "test_confusion", "test_worst", "weights"))
    front["state"] = "stopped"
    front["majority_error"]["test"] = None
    return front


def write_run(directory: Path, front: dict[str, Any]) -> Path:
    """Write the front and what lies beside it; returns the run directory."""
    (directory / "pictures").mkdir(parents=True)
    (directory / "front.json").write_text(json.dumps(front, ensure_ascii=False), encoding="utf-8")
    (directory / "run.toml").write_text(
        'data = "photos"\nseed = 0\nbudget_s = 1200.0\n\n[search]\npopulation = 40\n'
        'objectives = ["error", "madds"]\n\n[versions]\nnaturalize = "0.1.0"\ntorch = "2.13.0"\n',
        encoding="utf-8",
    )
    phases = [("scan", 3.2), ("prepare", 401.0)]
    phases += [(name, s) for _ in range(6) for name, s in (("search", 9.5), ("measure", 31.0), ("adapt", 64.0))]
    events: list[dict[str, Any]] = [{"event": "start", "time": "2026-01-01T00:00:00Z", "used_s": 0.0}]
    events.append({"event": "predictor", "pairs": 140, "rank_correlation": 0.834, "used_s": 0.0})
    used = 0.0
    for name, seconds in [*phases, ("final", 41.0)]:
        used += seconds + 0.2
        events.append({"event": "phase", "phase": name, "seconds": seconds, "used_s": used})
    text = "".join(json.dumps(event) + "\n" for event in events)
    (directory / "events.jsonl").write_text(text, encoding="utf-8")
    draw = np.random.default_rng(1)
    for n in range(16):
        small = Image.fromarray(draw.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        small.resize((32, 32), Image.Resampling.BICUBIC).save(directory / "pictures" / f"{n}.png")
    return directory


def write_whole_run(
    directory: Path,
    measured: int = 200,
    iterations: int = 3,
    objectives: tuple[str, ...] = ("error", "madds", "params"),
    supernet: str = "mini",
    front: int = 30,
) -> Path:
    """A run with all files that the report reads: real architectures with their counts, made-up errors.

    Args:
        directory: of the run.
        measured: architectures in its archive, all of them measured under the last weights version.
        iterations: measuring passes before that; each has half of the architectures, and predictions of some of them.
        objectives: of the run; of a latency, the clock says a little more than the model.
        supernet: its family.
        front: networks on the front, at most.
    """
    family = make_family(supernet, 32)
    codes = family.space.sample_distinct(measured, np.random.default_rng(0))
    costs = {name: count(codes) for name, count in exact_counts(family, Classification(len(NAMES)), 3).items()}
    latencies = {name: np.sqrt(costs["madds"]) / 2e3 for name in objectives if name.startswith("latency")}
    draw = np.random.default_rng(1)
    errors = np.round(60 * (costs["madds"] / costs["madds"].min()) ** -0.4 + draw.uniform(0, 12, measured), 2)
    asked = np.stack([errors if name == "error" else (costs | latencies)[name] for name in objectives], axis=1)
    rows = np.flatnonzero(non_dominated(asked))[:front]
    rows = rows[np.argsort(costs["madds"][rows])]
    content = made_up_front(len(rows)) | {
        "objectives": list(objectives),
        "supernet": supernet,
        "weights_version": iterations,
    }
    content["reference"] = []
    content["hypervolume"] = content["hypervolume"][: iterations + 1]
    for row, network in zip(rows.tolist(), content["networks"], strict=True):
        counts = {name: int(cost[row]) for name, cost in costs.items()}
        network |= {"architecture": family.space.strings(codes[[row]])[0], "madds": counts["madds"]}
        network |= {"params": counts["params"], "val_error": float(errors[row]), "val_error_views": float(errors[row])}
        network |= {"resolution": family.resolutions[int(codes[row, 0])]}
        network["objectives"] = counts | {name: float(cost[row]) for name, cost in latencies.items()}
        if latencies:
            clock = {name: {"value": 1.05 * float(cost[row]), "spread": 0.01} for name, cost in latencies.items()}
            network["measured"] = clock
    if content["networks"]:
        content["networks"][0]["before_finetuning"] = {"val_error": 70.0, "val_error_views": 70.0, "test_error": 71.0}
    write_run(directory, content)
    settings = Settings(data="photos", supernet=supernet, objectives=objectives, iterations=iterations, epochs=1)
    facts: dict[str, dict[str, Any]] = {
        "data": {"name": "photos", "source": "photos", "class_names": NAMES, "channels": 3, "side": 32,
                 "splits": {"train": 100, "val": 50, "test": 50}},
        "pixels": {"resolutions": list(family.resolutions)},
        "machine": {"cpus": 2},
        "tasks": {"default": "classification"},
    }  # fmt: skip
    write_settings(directory / "run.toml", settings, facts)
    archive = Archive(directory / "archive.sqlite", family.space)
    archs = family.space.architectures(codes)
    for t in range(iterations + 1):
        half = archs if t == iterations else archs[t::2]
        archive.set_members(t, [(arch, "uniform") for arch in half])
        numbers = {arch: number for number, arch in enumerate(archs)}
        with archive._transaction():  # one by one would take a second each hundred
            for number, arch in zip(archive._identified([(a, "user") for a in half], -1), half, strict=True):
                value = float(errors[numbers[arch]]) + 5 * (iterations - t)
                detail = json.dumps({"wrong": round(value / 2), "images": 50})
                archive._put("measurements", number, "error", "default", "val", t, "", value, 0.0, "ok", 0.1, detail)
        if t < iterations:
            seen = half[:40]
            predicted = [float(errors[numbers[arch]]) + 5 * (iterations - t) + 1.0 for arch in seen]
            kept = {"architectures": [arch.text for arch in seen], "predicted": predicted}
            archive.record_decision(journal.predicted(t), kept)
        archive.close_iteration(t, {"weights_version": t, "hypervolume": 0.6 + 0.05 * t, "networks": len(rows)})
    archive.close()
    return directory
