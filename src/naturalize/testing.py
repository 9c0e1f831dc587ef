"""The test split is read for the networks of a front, and the networks are written."""

from __future__ import annotations

import copy
import io
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from naturalize.archive import Measurement
from naturalize.classifiers import OwnClassifier, images_of_a_classifier
from naturalize.data import Pixels
from naturalize.data.masks import IGNORED, palette
from naturalize.errors import UserError
from naturalize.exporting import Network, card_path, save_network
from naturalize.files import checksum_of, write_bytes, write_json
from naturalize.machine import read_test_s
from naturalize.objectives import COST, ERROR
from naturalize.run.front import PUBLISHED, TRANSFER, WHOLE, read_front, val_version
from naturalize.run.run import card_of
from naturalize.schedule import FEWEST_TESTED
from naturalize.search import non_dominated
from naturalize.selection import Entry, Front, error_of, networks_alone, still_on_front
from naturalize.supernet import Subnet
from naturalize.tasks import Segmentation
from naturalize.training.engine import at_once, side_by_side
from naturalize.training.evaluate import answers_on, fold, logits_on
from naturalize.warm_start import with_classifier
from naturalize.workbench import Workbench

NETWORKS, PICTURES = "networks", "pictures"  # directories in a run
OURS = re.compile(rf"{NETWORKS}/\d+(-2)?\.(safetensors|json)|{PICTURES}/\d+(-\w+)?\.png")  # what we write there
GAP = 2  # pixels between a picture, its mask and the answer
SHOWN = 128  # pixels of their side at most, where a network takes as few
AS_MADDS = 10e6  # fixed cost of a network in multiply-adds: cutting it out, resizing pictures
WAIT_S = 0.01
WRITING = threading.Lock()  # networks that are tested at once get the same pictures wrong
OVERTIME = 0.03  # share of the budget that testing has where a run is resumed after its time
LATE, MOST_LATE_S = 0.1, 10.0  # share of a budget, and seconds, that the first few may be late: one or two are no front

Found = TypeVar("Found")
Facts = dict[str, Any]  # of an entry


def measure_test(
    bench: Workbench,
    front: Front,
    until: float | None = None,
    finetuned: Mapping[str, Subnet] | None = None,
    own: Mapping[str, OwnClassifier] | None = None,
) -> None:
    """Read the test split, fill in the test results of every network, and write the networks.

    Where time runs out, the front keeps the networks that were tested: the clock decides, not errors.

    Args:
        bench: of the run.
        front: content of front.json; changed in place.
        until: second of the run's clock by which it ends; None for no limit.
        finetuned: subnets by architecture, measured in place of the supernet's; then only these are.
        own: classifiers by architecture in place of the shared one.
    """
    watch, dataset = bench.watch, bench.dataset
    if until is not None:
        until = max(until, watch.used_s + OVERTIME * until)
    dataset.scan_test(watch.progress)
    rows = dataset.splits["test"]
    front["splits"]["test"] = len(rows)
    if len(rows):
        front["majority_error"]["test"] = bench.task.chance(dataset.labels[rows])
    sides = sorted({network["resolution"] for network in front["networks"]})
    pixels = Pixels(dataset, rows, sides, progress=watch.progress_in_thread)
    networks = [n for n in front["networks"] if finetuned is None or n["architecture"] in finetuned]
    ready = alone_of(bench, networks) if finetuned is None else finetuned

    def answer(network: Entry) -> tuple[Subnet, Facts]:
        text = network["architecture"]
        subnet = ready[text] if text in ready else network_on_front(bench, text, own or {})
        folded = fold(copy.deepcopy(subnet))
        name = f"{text}_{front['weights_version']}"
        return subnet, test_facts(bench, folded, name, network["resolution"], pixels) if len(rows) else {}

    taken = names_taken(bench.run.directory)
    late_s = 0.0 if until is None else min(LATE * until, MOST_LATE_S)
    for network, (subnet, facts), seconds in in_turn(bench, "test", networks, until, answer, late_s):
        network |= facts
        if facts and finetuned is None and network["origin"] == TRANSFER and one_version(front):
            record_test(bench, front, network, seconds)
        write_network(bench, front, network, subnet, taken)
    front["networks"] = [network for network in front["networks"] if network["weights"]]


def write_network(bench: Workbench, front: Front, network: Entry, subnet: Subnet, taken: Collection[str]) -> None:
    """Write a network of a front under a name that is not taken, and put its path into its entry."""
    run = bench.run
    card = {**card_of(run, front, network), "spec": subnet.spec}
    path = save_network(run.directory / NETWORKS, Network(subnet.cpu(), card), taken)
    network["weights"] = path.relative_to(run.directory).as_posix()


def write_front(bench: Workbench, front: Front) -> None:
    """Write front.json, then delete earlier networks and pictures that it does not name; a user's own files stay."""
    directory = bench.run.directory
    write_json(directory / "front.json", {**front, "checksum": checksum_of(front)})
    named = files_of(front)
    for path in chain(*((directory / name).glob("*") for name in (NETWORKS, PICTURES))):
        name = path.relative_to(directory).as_posix()
        if OURS.fullmatch(name) and name not in named and path.is_file():
            path.unlink()


def carry_finetuned(bench: Workbench, front: Front) -> int:
    """Carry fine-tuned networks over from the front.json that a new front is about to replace. Returns their number.

    Where validation can judge, a fine-tuned network stays unless a new one is better. It cannot judge where networks
    learnt from its pictures in a last adaptation: then each stays, in place of a new one of the same architecture.
    """
    directory = bench.run.directory
    try:
        before = read_front(directory)
    except UserError:  # there is none, or a damaged one
        return 0
    judged, carried = one_version(before) and one_version(front), []
    for old in before["networks"]:
        if not old.get("before_finetuning") or not old["weights"] or not (directory / old["weights"]).exists():
            continue
        same = [network for network in front["networks"] if network["architecture"] == old["architecture"]]
        if not judged or all(error_of(bench, network) >= error_of(bench, old) for network in same):
            others = [network for network in front["networks"] if network not in same]
            front["networks"] = sorted([*others, old], key=lambda network: network[COST])
            carried.append(old)
    if carried and judged:
        front["networks"] = still_on_front(bench, front)
    return sum(old in front["networks"] for old in carried)


def names_taken(directory: Path) -> set[str]:
    """Names of the files that a run's present front.json lists; none where it is missing or damaged."""
    try:
        return {Path(name).name for name in files_of(read_front(directory))}
    except UserError:
        return set()


def files_of(front: Front) -> set[str]:
    """Paths in the run of the weights, cards and pictures that a front names."""
    weights = {network["weights"] for network in front["networks"] if network["weights"]}
    cards = {card_path(Path(name)).as_posix() for name in weights}
    return weights | cards | {worst["picture"] for n in front["networks"] for worst in n["test_worst"] or []}


def one_version(front: Front) -> bool:
    """Whether the delivered weights are those that validation measured: no last adaptation came after."""
    return bool(front["weights_version"] == val_version(front))


def in_turn(
    bench: Workbench,
    what: str,
    networks: Sequence[Entry],
    until: float | None,
    work: Callable[[Entry], Found],
    late_s: float = 0.0,
) -> Iterator[tuple[Entry, Found, float]]:
    """Yield entries of a front with the result of `work` and the seconds that it took, for as long as there is time.

    They have their turns by `in_order`. The first always has one; those that would take too long are left out. The time
    of the next one is predicted from those before, in proportion to multiply-adds.

    Args:
        bench: of the run.
        what: name of the work in progress events.
        networks: entries of the front.
        until: second of the run's clock by which the work ends; None for no limit.
        work: function from an entry to its result, called in threads.
        late_s: seconds after `until` by which the first few may end.
    """
    watch, device = bench.watch, bench.device
    done: list[float] = []  # seconds of those that had their turn, by multiply-adds

    def while_time() -> Iterator[Entry]:
        begun = 0
        for place, number in enumerate(in_order(networks)):
            while until is not None and place > 1 and not done:  # the first two start without a prediction
                watch.check()
                time.sleep(WAIT_S)
            takes_s = max(done, default=0.0) * (networks[number][COST] + AS_MADDS)
            late = late_s if begun < FEWEST_TESTED else 0.0
            if not done or until is None or watch.used_s + takes_s <= until + late:
                begun += 1
                yield networks[number]

    def timed(network: Entry) -> tuple[Entry, Found, float]:
        start = watch.used_s
        try:
            found = work(network)
        finally:
            took_s = watch.used_s - start
            done.append(took_s / (network[COST] + AS_MADDS))
        return network, found, took_s / at_once(device)

    def tell() -> None:
        watch.progress(what, len(done), len(networks))

    for each in side_by_side(timed, while_time(), device, tell):
        yield each
        tell()


def in_order(networks: Sequence[Entry]) -> list[int]:
    """Positions of networks in the order of their turns: first the non-dominated ones, then the others.

    The others are on the front because validation is not sure of better ones. Both groups are spread along the front.
    """
    values = [[network["val_error_views"], network[COST]] for network in networks]
    best = non_dominated(np.reshape(values, (-1, 2)))
    groups = np.flatnonzero(best), np.flatnonzero(~best)
    return [int(group[place]) for group in groups for place in spread(len(group))]


def spread(n: int) -> list[int]:
    """0 to n - 1, ordered so that each beginning is spread over all: the last, the first, then middles of gaps."""
    order, gaps = [n - 1, 0][:n], [(0, n - 1)]
    for low, high in gaps:
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order


def network_on_front(bench: Workbench, text: str, own: Mapping[str, OwnClassifier]) -> Subnet:
    """The trained network of an architecture, on the device, with its own classifier where it has one."""
    subnet = bench.subnets.of(bench.supernet.family.space.parse(text))
    return with_classifier(subnet, own[text].weight, own[text].bias) if text in own else subnet


def alone_of(bench: Workbench, networks: Sequence[Entry]) -> dict[str, Subnet]:
    """The networks among entries of a front that are not the supernet's, by architecture, on the device."""
    space = bench.supernet.family.space
    found: dict[str, Subnet] = {}
    for origin in (PUBLISHED, WHOLE):
        archs = [space.parse(network["architecture"]) for network in networks if network["origin"] == origin]
        found |= {arch.text: subnet for arch, subnet in networks_alone(bench, origin, archs).items()}
    return found


def test_facts(bench: Workbench, network: Subnet, name: str, side: int, pixels: Pixels) -> Facts:
    """What front.json holds of a network's test: error, confusion matrix and worst pictures.

    Args:
        bench: of the run.
        network, name: folded, on the device; what its pictures are called by.
        side: its resolution in pixels.
        pixels: of the test split.
    """
    rows, labels, task = np.arange(len(pixels)), np.asarray(pixels.labels), bench.task
    kept = answers_on(network, pixels, rows, side, bench.device, task.kept, bench.progress)
    facts, worst = task.tested(kept, labels, bench.run.class_names)
    return {
        **facts,
        "test_images": len(rows),
        "test_worst": [
            {
                "picture": write_shown(bench, network, name, side, pixels, row),
                "path": bench.dataset.paths[pixels.indices[row]],
                **told,
            }
            for row, told in worst
        ],
    }


def write_shown(bench: Workbench, network: Subnet, name: str, side: int, pixels: Pixels, row: int) -> str:
    """Write a picture, with its mask and the network's answer beside it where there are masks. Returns its path."""
    if not bench.task.by_pixel:
        return write_picture(bench, pixels, row)
    logits = logits_on(network, pixels, np.array([row]), side, bench.device)
    answer = cast(Segmentation, bench.task).classes_of(logits, torch.from_numpy(pixels.labels[row][None]))[0]
    return write_masks(bench, pixels, row, name, answer.numpy().astype(np.uint8))


def write_masks(bench: Workbench, pixels: Pixels, row: int, network: str, answer: NDArray[np.uint8]) -> str:
    """Write a picture, its mask, and a network's answer to it side by side. Returns the path of the file in the run."""
    name, side = f"{PICTURES}/{pixels.indices[row]}-{network}.png", answer.shape[0]
    planes = pixels(np.array([row]), pixels.resolutions[-1])[0]
    picture = Image.fromarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)).resize((side, side))
    truth = np.where(pixels.labels[row] == IGNORED, -1, pixels.labels[row].astype(np.int64))
    masks = [np.where(mask[..., None] < 0, 255, palette()[mask]).astype(np.uint8) for mask in (truth, answer)]
    buffer = io.BytesIO()
    beside = Image.new("RGB", (3 * SHOWN + 2 * GAP, SHOWN), "white")
    for place, each in enumerate([picture.convert("RGB"), *map(Image.fromarray, masks)]):
        beside.paste(each.resize((SHOWN, SHOWN), Image.Resampling.NEAREST), (place * (SHOWN + GAP), 0))
    beside.save(buffer, "PNG", optimize=True)
    (bench.run.directory / PICTURES).mkdir(exist_ok=True)
    write_bytes(bench.run.directory / name, buffer.getvalue())
    return name


def record_test(bench: Workbench, front: Front, network: Entry, seconds: float) -> None:
    """Put one network's test error into the archive."""
    of = bench.run.context(ERROR, front["weights_version"], "test")
    images = network["test_images"]
    of_task = {"wrong": round(network["test_error"] * images / 100)}
    if "test_spread" in network:
        of_task = {"error": network["test_error"], "spread": network["test_spread"]}
    detail = {**of_task, "images": images, "views": 1}
    arch = bench.supernet.family.space.parse(network["architecture"])
    bench.archive.record(of, Measurement(arch, network["test_error"], 0.0, "ok", seconds, detail))


def write_picture(bench: Workbench, pixels: Pixels, row: int) -> str:
    """Write a picture as a network sees it, at the front's largest resolution up to `SHOWN`. Returns its path."""
    name = f"{PICTURES}/{pixels.indices[row]}.png"
    path = bench.run.directory / name
    with WRITING:
        if path.exists():
            return name
        side = max((side for side in pixels.resolutions if side <= SHOWN), default=pixels.resolutions[0])
        planes = pixels(np.array([row]), side)[0]
        picture = Image.fromarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))
        path.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        write_bytes(path, buffer.getvalue())
    return name


def ending_s(bench: Workbench, front: Front) -> tuple[float, float]:
    """Estimated seconds of fitting a front's last classifiers and of its test, by the time of its measurements.

    Networks that stand by themselves have their classifiers already.
    """
    known = bench.archive.measurements(bench.run.context(ERROR, front["weights_version"]))
    per_image = {
        arch.text: m.seconds / (m.detail["images"] * m.detail["views"]) for arch, m in known.items() if m.status == "ok"
    }
    most = max(per_image.values())
    largest = bench.run.trained[-1]

    def seconds(networks: Iterable[Entry]) -> float:
        return sum(
            per_image.get(network["architecture"], most * max(1.0, network["resolution"] / largest) ** 2)
            for network in networks
        )

    trained = seconds(network for network in front["networks"] if network["origin"] == TRANSFER)
    reading_s = read_test_s(bench, len({network["resolution"] for network in front["networks"]}))
    return (
        trained * images_of_a_classifier(bench),
        seconds(front["networks"]) * len(bench.dataset.splits["test"]) + reading_s,
    )
