"""The end of a run: the front is selected on validation, test is read once, networks and front.json are written."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from naturalize.archive import Context, Measurement
from naturalize.classifiers import OwnClassifier, images_of_a_classifier, own_classifier, refitted
from naturalize.data import Pixels
from naturalize.exporting import Network, save_network
from naturalize.files import write_bytes, write_json
from naturalize.last_adaptation import adapt_to_front, forget, with_validation
from naturalize.objectives.error import Chosen
from naturalize.probing import architecture_at, probe_networks, probes_of
from naturalize.run.front import FORMAT, PUBLISHED, TRANSFER
from naturalize.run.run import card_of
from naturalize.search import hypervolume, non_dominated
from naturalize.session import Session
from naturalize.setting import Setting, read_test_s
from naturalize.space import Architecture, Codes
from naturalize.supernet import Subnet
from naturalize.tasks import majority_error
from naturalize.training.adapt import Extent
from naturalize.training.engine import at_once, side_by_side
from naturalize.training.evaluate import fold, logits_of
from naturalize.version import __version__
from naturalize.warm_start import with_classifier

WORST = 12
REFITTING = 0.6  # of the time that is left at the end, at most, for classifiers of networks
TESTING_SAFETY = 1.5  # how much longer than by measurements classifiers and test may take
FEW_NETWORKS = 5  # below which a front is told to be small
PUBLISHED_VERSION = -1  # of a front before anything was trained
LEAST_LAST_S = 1.0  # of a last adaptation, however late it is
LATE_TESTING = 0.03  # of a budget, for the test of a run that was resumed when its time was over

Floats = NDArray[np.float64]
Front = dict[str, Any]
Found = TypeVar("Found")


def conclude(
    setting: Setting, session: Session, version: int, codes: Codes, values: Floats, until: float | None = None
) -> None:
    """Write the finished result of a weights version.

    Args:
        codes: architectures measured on validation under that version, `(n, d)`.
        values: their objectives, `(n, m)`.
        until: second of the run's clock by which the front should be tested, after a last adaptation; networks that
            there is no time for are left out. What comes too late for any gets a share of the budget. None where there
            is no last adaptation.
    """
    if session.version != version or not session.state["complete"]:
        name = setting.run.checkpoints.version(version)
        assert name is not None, "the last measured version is never pruned"
        session.load(name)
    front = front_of(setting, version, codes, values, learns_on=until is not None)
    kept = {"networks", "pictures"}
    directory = setting.run.directory
    for name in kept:
        (directory / name).mkdir(exist_ok=True)
    if until is None:
        own = choose_classifiers(setting, front)
    else:
        setting, own = adapted_to_front(setting, session, front, until)
    with setting.watch.phase("final", version=version):
        measure_test(setting, front, until, own=own)
    front["state"] = "finished"
    found = verdict(front)
    front["notes"] = [*(note.message for note in setting.dataset.notes), *found]
    write_json(directory / "front.json", front)
    named = {network["weights"] for network in front["networks"]}
    named |= {Path(network["weights"]).with_suffix(".json").as_posix() for network in front["networks"]}
    named |= {worst["picture"] for network in front["networks"] for worst in network["test_worst"] or []}
    for name in kept:
        for path in (directory / name).iterdir():
            if path.relative_to(directory).as_posix() not in named:
                path.unlink()
    setting.archive.record_decision("finished", {"version": version})
    forget(setting)
    setting.watch.event("finished", version=version, networks=len(front["networks"]), verdict=found)


def write_stopped_front(setting: Setting) -> None:
    """A validation front of the last weights version that was measured as a whole; nothing where there is none yet."""
    closed = setting.archive.iterations()
    finished = setting.archive.decision("finished")
    if not closed or (finished is not None and finished["version"] >= closed[-1]["weights_version"]):
        return
    version = closed[-1]["weights_version"]
    write_front(setting, version, *measured_values(setting, version))


def write_probed_front(setting: Setting) -> None:
    """The front of the published network at several resolutions, before anything is trained."""
    space, objectives = setting.supernet.family.space, setting.run.settings.objectives
    nothing = np.empty((0, len(space)), dtype=np.int64), np.empty((0, len(objectives)))
    networks = write_front(setting, PUBLISHED_VERSION, *nothing)["networks"]
    told = [{name: network[name] for name in ("resolution", "madds", "val_error")} for network in networks]
    setting.watch.event("probed", networks=told)


def write_front(setting: Setting, version: int, codes: Codes, values: Floats) -> Front:
    """front.json of networks measured on validation, with those of the published network where it is the best."""
    front = front_of(setting, version, codes, values)
    untrained = published_of(setting, front["networks"])
    for network in front["networks"]:
        if network["origin"] == PUBLISHED:
            network["weights"] = f"networks/{network['architecture']}.safetensors"
            subnet = untrained[network["architecture"]]
            save_network(
                setting.run.directory / "networks", Network(subnet.cpu(), full_card(setting, front, network, subnet))
            )
    write_json(setting.run.directory / "front.json", front)
    return front


def published_of(setting: Setting, networks: Sequence[dict[str, Any]]) -> dict[str, Subnet]:
    """The untrained networks among entries of a front, by architecture, on the device."""
    texts = {network["resolution"]: network["architecture"] for network in networks if network["origin"] == PUBLISHED}
    return {texts[side]: subnet for side, subnet in probe_networks(setting, list(texts)).items()}


def full_card(setting: Setting, front: Front, network: dict[str, Any], subnet: Subnet) -> dict[str, Any]:
    """The card of a network of a front, with its spec."""
    return {**card_of(setting.run, front, network), "spec": subnet.spec}


def measured_values(setting: Setting, version: int) -> tuple[Codes, Floats]:
    """Architectures that meet the requirements and were measured under a version, `(n, d)`, and objectives `(n, m)`."""
    found = setting.archive.measurements(Context("error", "default", "val", version))
    good = [m for m in found.values() if m.status == "ok"]
    codes = setting.supernet.family.space.codes([m.architecture for m in good])
    error = np.array([m.value for m in good], dtype=np.float64)
    feasible = setting.problem.allowed(codes)
    codes, error = codes[feasible], error[feasible]
    return codes, objective_values(setting, codes, error)


def objective_values(setting: Setting, codes: Codes, error: Floats) -> Floats:
    """Objectives of architectures in the run's order. Shapes: `(n, d), (n,) -> (n, m)`."""
    names = setting.run.settings.objectives
    columns = [error if name == "error" else setting.problem.exact[name](codes) for name in names]
    return np.stack(columns, axis=1).astype(np.float64)


def reference_of(setting: Setting) -> list[float]:
    """Hypervolume's reference point: the majority class's error, and 1.05 x the largest architecture for the rest."""
    largest = setting.supernet.family.space.corners()[1:]
    majority = majority_error(np.asarray(setting.val.labels))
    names = setting.run.settings.objectives
    return [majority if name == "error" else 1.05 * float(setting.problem.exact[name](largest)[0]) for name in names]


def hypervolume_of(setting: Setting, values: Floats) -> float:
    """Hypervolume of objectives `(n, m)`, each divided by its reference value; in 0..1."""
    return hypervolume(values, reference_of(setting))


def front_rows(values: Floats) -> NDArray[np.int64]:
    """Rows of the front, without repeats of equal values."""
    rows = np.flatnonzero(non_dominated(values))
    _, first = np.unique(values[rows], axis=0, return_index=True)
    return rows[np.sort(first)]


def spread(n: int) -> list[int]:
    """0 to n - 1 in an order whose every beginning is spread over all: the last, the first, then middles of gaps."""
    order, gaps = [n - 1, 0][:n], [(0, n - 1)]
    for low, high in gaps:
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order


def front_of(setting: Setting, version: int, codes: Codes, values: Floats, learns_on: bool = False) -> Front:
    """front.json of what was measured on validation; what only the test split tells is null.

    The published network competes at each resolution at which it was read: it is on the front where nothing found is
    better. The largest network is on the front at every resolution where validation is not sure of a better one: with
    few pictures, luck would put it off.

    Args:
        codes, values: architectures and their objectives under the version, `(n, d)` and `(n, m)`.
        learns_on: whether a last adaptation comes after. The published network must be better by a standard error
            then, since the others will have learnt from the validation pictures too.
    """
    run, dataset, space = setting.run, setting.dataset, setting.supernet.family.space
    setting.choose_images(version)
    found = setting.archive.measurements(Context("error", "default", "val", version))
    measured = [found[arch] for arch in space.architectures(codes)]
    probed = probed_measurements(setting)
    errors = np.array([m.value for m in probed], dtype=np.float64)
    handicap = standard_error(setting, errors) if learns_on else 0.0
    probed_values = objective_values(setting, space.codes([m.architecture for m in probed]), errors + handicap)
    rows = front_rows(np.concatenate([values, probed_values])).tolist()
    both = [*((m, TRANSFER) for m in measured), *((m, PUBLISHED) for m in probed)]
    taken = {both[row][0].architecture for row in rows}
    rows += [row for row in nearly_best(setting, codes, values) if measured[row].architecture not in taken]
    networks = [network_of(setting, *both[row]) for row in rows]
    facts = setting.archive.iterations()
    names = ("iteration", "weights_version", "hypervolume", "networks")
    return {
        "format": FORMAT,
        "naturalize": __version__,
        "state": "stopped",
        "supernet": run.settings.supernet,
        "task": "default",
        "weights_version": version,
        "val_weights_version": version,
        "objectives": list(run.settings.objectives),
        "requirements": list(run.settings.requirements),
        "class_names": run.class_names,
        "majority_error": {"val": majority_error(np.asarray(setting.val.labels)), "test": None},
        "probe_error": float(errors.min()) if probed else None,
        "splits": {split: len(rows) for split, rows in dataset.splits.items()},
        "val_views": setting.error.images.views,
        "reference": reference_of(setting),
        "hypervolume": [{name: fact[name] for name in names} for fact in facts],
        "networks": sorted(networks, key=lambda network: network["madds"]),
        "notes": [note.message for note in dataset.notes],
    }


def adapted_to_front(
    setting: Setting, session: Session, front: Front, tested: float
) -> tuple[Setting, dict[str, OwnClassifier]]:
    """The last adaptation; then a classifier for each network.

    front.json says under which weights version validation was answered: the networks have learnt from it since.
    """
    networks = trained_on(front)
    until = tested - TESTING_SAFETY * testing_s(setting, front)
    if not networks:
        return setting, {}
    left = max(LEAST_LAST_S, until - setting.watch.used_s)
    seconds = setting.archive.decide(f"last {session.version}", lambda: left)
    setting = with_validation(setting)
    parse = setting.supernet.family.space.parse
    archs = [parse(network["architecture"]) for network in networks]
    adapt_to_front(setting, session, archs, Extent(seconds=seconds, until=until))
    front["val_weights_version"] = session.version
    front["weights_version"] = session.version + 1
    with setting.watch.phase("classifiers", version=front["weights_version"]):
        until = setting.watch.used_s + REFITTING * (tested - setting.watch.used_s)
        found = for_each(setting, networks, until, lambda arch: refitted(setting, arch))
    for network in networks:
        network["own_classifier"] = network["architecture"] in found
    return setting, found


def testing_s(setting: Setting, front: Front) -> float:
    """What the last classifiers and the test of a front take, by what measuring its networks took."""
    known = setting.archive.measurements(Context("error", "default", "val", front["weights_version"]))
    per_image = {
        arch.text: m.seconds / (m.detail["images"] * m.detail["views"]) for arch, m in known.items() if m.status == "ok"
    }
    most = max(per_image.values())
    images = len(setting.dataset.splits["test"]) + images_of_a_classifier(setting)
    seconds = sum(per_image.get(network["architecture"], most) for network in front["networks"])
    return images * seconds + read_test_s(setting)


def trained_on(front: Front) -> list[dict[str, Any]]:
    """Entries of a front that the transfer trained."""
    return [network for network in front["networks"] if network["origin"] == TRANSFER]


def choose_classifiers(setting: Setting, front: Front) -> dict[str, OwnClassifier]:
    """Fit a classifier for each network that was trained.

    Where validation is better for it, the entry says so. What is dominated then leaves the front.
    """
    parse = setting.supernet.family.space.parse
    networks = trained_on(front)
    with setting.watch.phase("classifiers", version=front["weights_version"]):
        tried = for_each(setting, networks, None, lambda arch: own_classifier(setting, arch))
    own = {text: found for text, found in tried.items() if found is not None}
    for network in networks:
        found = own.get(network["architecture"])
        if found is not None:
            network["own_classifier"] = True
            network["val_error"] = 100.0 * found.wrong[0] / network["val_images"]
            network["val_error_views"] = 100.0 * float(np.mean(found.wrong)) / network["val_images"]
    codes = setting.supernet.family.space.codes([parse(network["architecture"]) for network in front["networks"]])
    errors = np.array([network["val_error_views"] for network in front["networks"]])
    rows = front_rows(objective_values(setting, codes, errors))
    front["networks"] = [front["networks"][row] for row in rows.tolist()]
    return own


def nearly_best(setting: Setting, codes: Codes, values: Floats) -> list[int]:
    """Rows of the largest network, at any resolution, that others are better than by less than a standard error."""
    names = setting.run.settings.objectives
    if not setting.reads_published or "error" not in names:
        return []
    column, space = names.index("error"), setting.supernet.family.space
    margin = np.zeros_like(values)
    margin[:, column] = standard_error(setting, values[:, column])
    found = []
    for row in np.flatnonzero((codes[:, 1:] == space.upper[1:]).all(axis=1)).tolist():
        bound = values[row] - margin[row]
        surely = (values <= bound).all(axis=1) & (values < bound).any(axis=1)
        if not surely.any():
            found.append(row)
    return found


def standard_error(setting: Setting, errors: Floats) -> Floats:
    """Of errors in percent of the validation images, in points; that of a binomial share."""
    shares = errors / 100.0
    return 100.0 * np.sqrt(shares * (1.0 - shares) / len(setting.error.images))


def for_each(
    setting: Setting, networks: Sequence[dict[str, Any]], until: float | None, work: Callable[[Architecture], Found]
) -> dict[str, Found]:
    """Results by architecture of networks, spread along the front, for as long as there is time."""
    watch, parse = setting.watch, setting.supernet.family.space.parse
    took_s: list[float] = []

    def while_time() -> Iterator[str]:
        for number in spread(len(networks)):
            if until is not None and watch.used_s + max(took_s, default=0.0) > until:
                return
            yield networks[number]["architecture"]

    def timed(text: str) -> tuple[str, Found]:
        start = watch.used_s
        found = work(parse(text))
        took_s.append(watch.used_s - start)
        return text, found

    def tell() -> None:
        watch.progress("classifiers", len(took_s), len(networks))

    return dict(side_by_side(timed, while_time(), setting.error.device, tell))


def probed_measurements(setting: Setting) -> list[Measurement]:
    """The published network at the resolutions that meet the requirements; none where a run has no such network."""
    probes, images = probes_of(setting.run.directory), setting.error.images
    if probes is None:
        return []
    rows = images.rows if isinstance(images, Chosen) else np.arange(len(images))
    found = []
    for resolution in probes.resolutions:
        wrong = probes.wrong[resolution][: images.views, rows]
        arch = architecture_at(setting, resolution)
        detail = {"wrong": int(wrong[0].sum()), "images": len(rows), "views": len(wrong)}
        found.append(Measurement(arch, 100.0 * float(wrong.mean()), 0.0, "ok", 0.0, detail))
    allowed = setting.problem.allowed(setting.supernet.family.space.codes([m.architecture for m in found]))
    return [measurement for measurement, fits in zip(found, allowed.tolist(), strict=True) if fits]


def verdict(front: Front) -> list[str]:
    """What a user should know about a result, in sentences; nothing where all went well."""
    networks, found = front["networks"], []
    published = sum(network["origin"] == PUBLISHED for network in networks)
    if published:
        found.append(
            f"{published} of the front's {len(networks)} networks are the published one as it was, with a classifier "
            "for your pictures: nothing that was trained is better there. A larger --budget gives training more time"
        )
    if len(networks) < FEW_NETWORKS:
        number = f"{len(networks)} network{'s' * (len(networks) != 1)}"
        found.append(f"only {number} on the front: a larger --budget, more pictures or a quieter machine give more")
    return found


def network_of(setting: Setting, measurement: Measurement, origin: str) -> dict[str, Any]:
    """One of the `networks` of front.json."""
    arch = measurement.architecture
    codes = np.array([arch.code])
    detail = measurement.detail
    return {
        "architecture": arch.text,
        "origin": origin,
        "own_classifier": origin == PUBLISHED,
        "resolution": setting.error.resolution(arch),
        "val_error": 100.0 * detail["wrong"] / detail["images"],
        "val_images": detail["images"],
        "val_error_views": measurement.value,
        "test_error": None,
        "test_images": None,
        **{name: int(setting.problem.exact[name](codes)[0]) for name in ("madds", "params")},
        "weights": None,
        "test_confusion": None,
        "test_worst": None,
    }


def measure_test(
    setting: Setting,
    front: Front,
    until: float | None = None,
    finetuned: Mapping[str, Subnet] | None = None,
    own: Mapping[str, OwnClassifier] | None = None,
) -> None:
    """Read the test split, fill in what it says of every network, and write the networks.

    Where time runs out, the front keeps the networks that were tested, spread along it: the clock decides, not errors.

    Args:
        finetuned: subnets by architecture that are measured in place of the supernet's; of those alone.
        own: classifiers by architecture in place of the shared one.
    """
    watch, dataset = setting.watch, setting.dataset
    if until is not None:
        until = max(until, watch.used_s + LATE_TESTING * until)
    dataset.scan_test(watch.progress)
    rows = dataset.splits["test"]
    front["splits"]["test"] = len(rows)
    if len(rows):
        front["majority_error"]["test"] = majority_error(dataset.labels[rows])
    sides = sorted({network["resolution"] for network in front["networks"]})
    pixels = Pixels(dataset, rows, sides, progress=watch.progress_in_thread)
    networks = [n for n in front["networks"] if finetuned is None or n["architecture"] in finetuned]
    ready = published_of(setting, networks) if finetuned is None else finetuned
    took_s: list[float] = []

    def while_time() -> Iterator[dict[str, Any]]:
        for number in spread(len(networks)):
            if took_s and until is not None and watch.used_s + max(took_s) > until:
                return
            yield networks[number]

    def answer(network: dict[str, Any]) -> tuple[dict[str, Any], Subnet, Tensor | None, float]:
        start = watch.used_s
        text, logits = network["architecture"], None
        subnet = ready[text] if text in ready else network_on_front(setting, text, own or {})
        if len(rows):
            images = pixels(np.arange(len(rows)), network["resolution"])
            logits = logits_of(fold(copy.deepcopy(subnet)), images, setting.error.device, setting.error.progress)
        took_s.append(watch.used_s - start)
        return network, subnet, logits, took_s[-1] / at_once(setting.error.device)

    def tell() -> None:
        watch.progress("test", len(took_s), len(networks))

    for network, subnet, logits, seconds in side_by_side(answer, while_time(), setting.error.device, tell):
        if logits is not None:
            fill_in_test(setting, network, logits, pixels)
            if finetuned is None and network["origin"] == TRANSFER:
                record_test(setting, front, network, seconds)
        network["weights"] = f"networks/{network['architecture']}.safetensors"
        card = full_card(setting, front, network, subnet)
        save_network(setting.run.directory / "networks", Network(subnet.cpu(), card))
        tell()
    front["networks"] = [network for network in front["networks"] if network["weights"]]


def network_on_front(setting: Setting, text: str, own: Mapping[str, OwnClassifier]) -> Subnet:
    """The trained network of an architecture, on the device, with its own classifier where it has one."""
    subnet = setting.error.network(setting.supernet.family.space.parse(text))
    return with_classifier(subnet, own[text].weight, own[text].bias) if text in own else subnet


def fill_in_test(setting: Setting, network: dict[str, Any], logits: Tensor, pixels: Pixels) -> None:
    """One network's error, confusion matrix and worst pictures on the test split, from its logits."""
    labels = np.asarray(pixels.labels)
    index, probability = setting.task.predictions(logits)
    predicted = index.numpy()
    wrong = predicted != labels
    network["test_error"] = 100.0 * int(wrong.sum()) / len(labels)
    network["test_images"] = len(labels)
    classes = len(setting.run.class_names)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    network["test_confusion"] = confusion.tolist()
    worst = np.flatnonzero(wrong)[np.argsort(-probability.numpy()[wrong], kind="stable")][:WORST]
    network["test_worst"] = [
        {
            "picture": write_picture(setting, pixels, row),
            "path": setting.dataset.paths[pixels.indices[row]],
            "class": setting.run.class_names[labels[row]],
            "predicted": setting.run.class_names[predicted[row]],
            "probability": round(float(probability[row]), 4),
        }
        for row in worst.tolist()
    ]


def record_test(setting: Setting, front: Front, network: dict[str, Any], seconds: float) -> None:
    """Put one network's test error into the archive."""
    context = Context("error", "default", "test", front["weights_version"])
    images = network["test_images"]
    detail = {"wrong": round(network["test_error"] * images / 100), "images": images, "views": 1}
    arch = setting.supernet.family.space.parse(network["architecture"])
    setting.archive.record(context, Measurement(arch, network["test_error"], 0.0, "ok", seconds, detail))


def write_picture(setting: Setting, pixels: Pixels, row: int) -> str:
    """A picture as the networks see it, at the largest resolution of the front; its path in the run."""
    name = f"pictures/{pixels.indices[row]}.png"
    path = setting.run.directory / name
    if not path.exists():
        planes = pixels(np.array([row]), pixels.resolutions[-1])[0]
        picture = Image.fromarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        write_bytes(path, buffer.getvalue())
    return name
