"""The end of a run: select a front, train it on, read the test split once, write networks and front.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from naturalize.classifiers import OwnClassifier, own_classifier, refitted
from naturalize.last_adaptation import adapt_to_front, forget, with_validation
from naturalize.numbers import plural
from naturalize.objectives import BALANCED_ERROR, COST, deciding_error
from naturalize.pace import Ending
from naturalize.quantizing import measure_int8, not_exported
from naturalize.run.front import PUBLISHED, TRANSFER, best, finished_under, networks_of
from naturalize.selection import (
    Entry,
    Floats,
    Front,
    front_of,
    measured,
    probed_measurements,
    set_errors,
    still_on_front,
)
from naturalize.session import Session
from naturalize.space import Codes
from naturalize.tasks import CLASSIFICATION, balanced_error_of, kind_of_front
from naturalize.testing import (
    alone_of,
    carry_finetuned,
    ending_s,
    in_turn,
    measure_test,
    names_taken,
    one_version,
    write_front,
    write_network,
)
from naturalize.timing import beyond_limits, measure_latencies
from naturalize.workbench import NO_VERSION, Workbench

FEW_NETWORKS = 5  # a front of fewer is reported as small
OF_NO_USE = "is of no use"  # marks the note that says so, to find it again
IT = "they were", "it was"


def conclude(
    bench: Workbench,
    session: Session,
    version: int,
    codes: Codes,
    values: Floats,
    ending: Ending | None = None,
    shared: Sequence[str] | None = None,
) -> None:
    """Write the finished result of a weights version.

    Args:
        bench: of the run.
        session: its trainings.
        version: weights version whose front is selected.
        codes: architectures measured on validation under that version, `(n, d)`.
        values: their objectives, `(n, m)`.
        ending: time for a last adaptation and for the test, which leaves out networks that there is no time for; a
            late run still has a share of its budget to test. None for no last adaptation and a full test.
        shared: as of `front_of`.
    """
    if session.version != version or not session.state["complete"]:
        name = bench.run.checkpoints.version(version)
        assert name is not None, "the last measured version is never pruned"
        session.load(name)
    front = front_of(bench, version, codes, values, learns_on=ending is not None, shared=shared)
    measure_latencies(bench, front)  # here, since what follows ends by the clock
    if ending is None:
        own = choose_classifiers(bench, front) if bench.classifies else {}
        measure_int8(bench, front, own)
    else:
        measure_int8(bench, front, {})
        bench, own = adapted_to_front(bench, session, front, ending)
    deliver(bench, front, None if ending is None else ending.tested, own)


def is_over(bench: Workbench, untrained: bool) -> bool:
    """Whether the budget was spent before anything was trained, and the published network can be the result.

    Args:
        bench: of the run.
        untrained: whether no training has begun.
    """
    budget_s = bench.run.settings.budget_s
    late = budget_s is not None and bench.watch.used_s > budget_s
    return untrained and late and bool(probed_measurements(bench))


def conclude_untrained(bench: Workbench) -> None:
    """Write the finished result of a run in which nothing was trained: the front of the published network."""
    front = untrained_front(bench)
    measure_int8(bench, front, {})
    deliver(bench, front)


def deliver(
    bench: Workbench, front: Front, until: float | None = None, own: Mapping[str, OwnClassifier] | None = None
) -> None:
    """Read the test split for a front, and write it with its networks as the finished result of a run.

    Args:
        bench: of the run.
        front: content of front.json.
        until: second of the run's clock by which test is read; None where there was no last adaptation.
        own: as of `measure_test`.
    """
    version, selected = front["val_weights_version"], len(front["networks"])
    measure_latencies(bench, front)
    with bench.watch.phase("final", version=version):
        measure_test(bench, front, until, own=own)
    untested = selected - len(front["networks"])
    carried = carry_finetuned(bench, front)
    front |= {"state": "finished", "last_adaptation": not one_version(front)}
    found = verdict(front, untested, carried, bench.run.settings.balanced)
    found += beyond_limits(bench, front) + not_exported(front)
    front["notes"] = [*(note.message for note in bench.dataset.notes), *found]
    write_front(bench, front)
    if until is not None:
        forget(bench.run.directory)
    bench.watch.event("finished", version=version, networks=len(front["networks"]), verdict=found)


def write_stopped_front(bench: Workbench) -> None:
    """Write a validation front of the last weights version that was measured in full; nothing where there is none yet.

    A finished result, which has networks and test errors, stays until another one is finished.
    """
    closed = bench.archive.iterations()
    if not closed or finished_under(bench.run.directory) is not None:
        return
    version = closed[-1]["weights_version"]
    write_networks(bench, front_of(bench, version, *measured(bench, version).allowed))


def write_probed_front(bench: Workbench) -> None:
    """Write the front of the published network at several resolutions, before anything is trained.

    Nothing is written where no resolution meets the requirements.
    """
    networks = write_untrained_front(bench)
    if not networks:
        return
    told = [{name: network[name] for name in ("resolution", COST, "val_error")} for network in networks]
    bench.watch.event("probed", networks=told)


def write_untrained_front(bench: Workbench) -> list[Entry]:
    """Write the front of what there is before the supernet is trained, and return its networks; none, no front.

    As with `write_stopped_front`, a finished result stays.
    """
    if not probed_measurements(bench) or finished_under(bench.run.directory) is not None:
        return []
    return write_networks(bench, untrained_front(bench))["networks"]


def untrained_front(bench: Workbench) -> Front:
    """The front of the published network, and of the same fine-tuned by itself where that was done."""
    space, objectives = bench.supernet.family.space, bench.run.settings.objectives
    nothing = np.empty((0, len(space)), dtype=np.int64), np.empty((0, len(objectives)))
    return front_of(bench, NO_VERSION, *nothing)


def write_networks(bench: Workbench, front: Front) -> Front:
    """Write a front without test errors, and those of its networks that are not the supernet's."""
    ready, taken = alone_of(bench, front["networks"]), names_taken(bench.run.directory)
    for network in front["networks"]:
        if network["architecture"] in ready:
            write_network(bench, front, network, ready[network["architecture"]], taken)
    write_front(bench, front)
    return front


def adapted_to_front(
    bench: Workbench, session: Session, front: Front, ending: Ending
) -> tuple[Workbench, dict[str, OwnClassifier]]:
    """Run the last adaptation, then fit a classifier for each network. Returns its workbench, and the classifiers.

    front.json names the weights version that its validation errors are of: the networks have learnt from those
    pictures since.
    """
    networks = trained_on(front)
    if not networks:
        return bench, {}
    extent, anew, fitted = ending.divided(session.version, *ending_s(bench, front))
    bench = with_validation(bench)
    parse = bench.supernet.family.space.parse
    archs = [parse(network["architecture"]) for network in networks]
    adapt_to_front(bench, session, archs, extent, anew)
    front["val_weights_version"] = session.version
    front["weights_version"] = session.version + 1
    if not bench.classifies:
        return bench, {}
    with bench.watch.phase("classifiers", version=front["weights_version"]):
        tried = in_turn(
            bench, "classifiers", networks, fitted, lambda each: refitted(bench, parse(each["architecture"]))
        )
        own = {network["architecture"]: found for network, found, _ in tried}
    for network in networks:
        network["own_classifier"] = network["architecture"] in own
    return bench, own


def choose_classifiers(bench: Workbench, front: Front) -> dict[str, OwnClassifier]:
    """Fit a classifier for each network that was trained, and return those that are better on validation.

    Their entries get the new errors. Networks that are then dominated leave the front, as in `front_of`.
    """
    parse = bench.supernet.family.space.parse
    networks = trained_on(front)
    with bench.watch.phase("classifiers", version=front["weights_version"]):
        tried = in_turn(
            bench, "classifiers", networks, None, lambda each: own_classifier(bench, parse(each["architecture"]))
        )
        own = {network["architecture"]: found for network, found, _ in tried if found is not None}
    for network in networks:
        found = own.get(network["architecture"])
        if found is not None:
            network["own_classifier"] = True
            set_errors(bench, network, *bench.error.of_answers(found.answers))
    front["networks"] = still_on_front(bench, front)
    return own


def trained_on(front: Front) -> list[Entry]:
    """Entries of a front that the transfer trained."""
    return [network for network in front["networks"] if network["origin"] == TRANSFER]


def verdict(front: Front, untested: int = 0, carried: int = 0, balanced: bool = False) -> list[str]:
    """What a user should know about a result, in sentences; nothing where all went well.

    Args:
        front: that is about to be written.
        untested: networks that left the front since there was no time to test them.
        carried: networks that were fine-tuned before, and stay.
        balanced: as of `of_no_use`.
    """
    networks, found = front["networks"], []
    published = sum(network["origin"] == PUBLISHED for network in networks)
    if untested:
        left_out = plural(untested, "network")
        found.append(f"{left_out} of the front had to be left out: there was no time to test more")
    if front["weights_version"] == NO_VERSION and published < len(networks):
        found.append(
            "the supernet was not trained yet: these are the published network and the same fine-tuned by itself, at "
            "several resolutions. Smaller networks need more time"
        )
    elif front["weights_version"] == NO_VERSION:
        found.append(
            "nothing was trained: these are the published network at several resolutions, with a classifier for your "
            "pictures. A larger --budget or a quieter machine gives time to train"
        )
    elif published:
        found.append(
            f"{published} of the front's {len(networks)} networks are the published one as it was, with a classifier "
            "for your pictures: nothing that was trained is better there. A larger --budget gives training more time"
        )
    if len(networks) < FEW_NETWORKS:
        number = plural(len(networks), "network")
        found.append(f"only {number} on the front: a larger --budget, more pictures or a quieter machine give more")
    if carried:
        found.append(f"{plural(carried, 'network')} that had been fine-tuned before stayed as {IT[carried == 1]}")
    return [*found, *of_no_use(front, balanced)]


def of_no_use(front: Front, balanced: bool) -> list[str]:
    """A sentence where the most accurate network is no better than always answering one class; nothing elsewhere.

    Args:
        front: with at least one network.
        balanced: whether each class counts the same, as in a run that weighs rare ones up.
    """
    decides = deciding_error(front.get("objectives") or [])
    chosen = best(networks_of(front), by=decides)
    split, error = ("val", chosen.val_error) if chosen.test_error is None else ("test", chosen.test_error)
    majority, counted, blind = front["majority_error"][split], "", kind_of_front(front).blind
    by_class = (balanced or decides == BALANCED_ERROR) and front.get("kind", CLASSIFICATION) == CLASSIFICATION
    if by_class and split == "test":
        entry = next(network for network in front["networks"] if network["architecture"] == chosen.architecture)
        confusion = np.array(entry["test_confusion"], dtype=np.int64)
        classes = int((confusion.sum(axis=1) > 0).sum())
        error, majority = balanced_error_of(confusion) or 0.0, 100.0 * (1 - 1 / classes)
        counted = " where each class counts the same"
    if error < majority or not majority:  # pictures of one class alone tell nothing
        return []
    return [
        f"the most accurate network is {error:.1f}% wrong{counted}, and {blind} {majority:.1f}%: "
        f"it {OF_NO_USE} yet. A larger --budget or more pictures of the rare classes may help"
    ]
