"""The mistakes of a network: error by class, balanced error, confusions, and where one number hides another."""

import base64
import json
import zlib
from typing import Any

import numpy as np

from naturalize.numbers import percent, standard_error
from naturalize.tasks import balanced_error_of, kind_of_front
from naturalize.tasks.confidence import above

# A page of many classes shows the most frequent confusions; up to so many classes it holds all of them.
ALL_PAIRS_CLASSES = 100
PAIRS = 1000
THRESHOLDS = (0.5, 0.7, 0.8, 0.9)  # that a page tells the shares of


def class_images(front: dict[str, Any]) -> list[int]:
    """Test images of each class, or what else the task counts, `(classes,)`; empty where no test is known."""
    tested = (network for network in front["networks"] if was_tested(network))
    return next((kind_of_front(front).by_class(network)[0] for network in tested), [])


def was_tested(network: dict[str, Any]) -> bool:
    """Whether a network's entry has what a test gives."""
    return network.get("test_error") is not None


def scores_of(front: dict[str, Any], network: dict[str, Any]) -> list[float | None] | None:
    """The score of each class on test, None where it has none; None where classes are told by their error."""
    return kind_of_front(front).by_class(network)[1] if was_tested(network) else None


def balanced_error(network: dict[str, Any]) -> float | None:
    """Mean of the classes' errors on test in percent, over those that have test images; None where it has none."""
    confusion = network.get("test_confusion")
    return None if confusion is None or has_spread(network) else balanced_error_of(confusion)


def has_spread(network: dict[str, Any]) -> bool:
    """Whether a network's error is no share of images, and so has its own standard error."""
    return network.get("test_spread") is not None or network.get("val_spread") is not None


def unsure(network: dict[str, Any]) -> str:
    """What is left of a network's test answers above some probabilities, in a sentence; empty where it is not known."""
    confidence = network.get("test_confidence")
    if confidence is None:
        return ""
    told = [(threshold, *above(confidence, threshold)) for threshold in THRESHOLDS]
    parts = (f"{threshold:g}: {percent(refused)}, {percent(wrong)}" for threshold, refused, wrong in told)
    return (
        f"Share of images with a less probable answer (predict --threshold), and error among the others, at "
        f"{'; '.join(parts)}."
    )


def error_against_majority(front: dict[str, Any], network: dict[str, Any]) -> tuple[float, float, int] | None:
    """Errors of a network and of its task's `blind`, and images: of test, else of validation."""
    for split in ("test", "val"):
        error, majority = network.get(f"{split}_error"), (front.get("majority_error") or {}).get(split)
        if error is not None and majority is not None:
            return error, majority, network.get(f"{split}_images") or 0
    return None


def is_majority(front: dict[str, Any], network: dict[str, Any]) -> bool:
    """Whether a network beats always answering the most frequent class by less than two standard errors."""
    numbers = error_against_majority(front, network)
    if numbers is None or has_spread(network):
        return False
    return numbers[0] > numbers[1] - 2 * float(standard_error(numbers[1], numbers[2]))


def warnings(front: dict[str, Any], network: dict[str, Any]) -> list[str]:
    """Sentences that a reader of a network's error must know besides."""
    found = []
    numbers = error_against_majority(front, network)
    if numbers is not None and is_majority(front, network):
        found.append(
            f"The most frequent class explains the accuracy: always answering it is {percent(numbers[1])} wrong, "
            f"this network {percent(numbers[0])}."
        )
    balanced, error = balanced_error(network), network.get("test_error")
    if balanced is not None and error is not None and balanced > max(2 * error, error + 5):
        found.append(
            f"The plain error hides rare classes: it is {percent(error)} over all images, but {percent(balanced)} when "
            "every class counts the same. A transfer with --balanced weighs rare classes up in training."
        )
    never = _never_right(front, network)
    if never:
        more = f" and {len(never) - 8} more" if len(never) > 8 else ""
        found.append(f"Never recognised: {', '.join(never[:8])}{more}.")
    return found


def packed_confusions(front: dict[str, Any], limit: int) -> tuple[str, bool]:
    """All networks' confusions as text of at most about `limit` characters, and whether all pairs are in it.

    The text is base64 of zlib of JSON: a list with one entry a network, null or
    `{"right": (classes,), "true": (pairs,), "predicted": (pairs,), "count": (pairs,)}`.
    A hundred dense matrices as JSON would be tens of megabytes.
    """
    classes = len(front.get("class_names") or [])
    matrices = [
        np.asarray(network["test_confusion"], dtype=np.int64) if network.get("test_confusion") is not None else None
        for network in front["networks"]
    ]
    pairs = classes * classes if classes <= ALL_PAIRS_CLASSES else PAIRS
    while True:
        packed = [None if matrix is None else _sparse(matrix, pairs) for matrix in matrices]
        content = json.dumps([None if entry is None else entry[0] for entry in packed], separators=(",", ":")).encode()
        text = base64.b64encode(zlib.compress(content)).decode()
        if len(text) <= limit or pairs < 10:
            return text, all(entry is None or entry[1] for entry in packed)
        pairs = min(pairs, int(max(np.count_nonzero(m) for m in matrices if m is not None))) // 2


def _sparse(confusion: np.ndarray, pairs: int) -> tuple[dict[str, list[int]], bool]:
    """The diagonal and the `pairs` most frequent confusions, in the order of rows; and whether these are all."""
    wrong = confusion - np.diag(np.diag(confusion))
    true, predicted = np.nonzero(wrong)
    counts = wrong[true, predicted]
    kept = np.sort(np.argsort(-counts, kind="stable")[:pairs])
    return {
        "right": np.diag(confusion).tolist(),
        "true": true[kept].tolist(),
        "predicted": predicted[kept].tolist(),
        "count": counts[kept].tolist(),
    }, len(kept) == len(counts)


def _never_right(front: dict[str, Any], network: dict[str, Any]) -> list[str]:
    if network.get("test_confusion") is None:
        return []
    confusion = np.asarray(network["test_confusion"], dtype=np.int64)
    lost = (confusion.sum(axis=1) > 0) & (np.diag(confusion) == 0)
    return [front["class_names"][i] for i in np.flatnonzero(lost)]
