"""The end of a run: a front is selected and learns on, test is read once, networks and front.json are written."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from naturalize.classifiers import OwnClassifier, own_classifier, refitted
from naturalize.last_adaptation import adapt_to_front, forget, with_validation
from naturalize.run.front import PUBLISHED, TRANSFER, finished_under
from naturalize.selection import (
    Entry,
    Floats,
    Front,
    front_of,
    front_rows,
    measured_values,
    nearly_best,
    objective_values,
    probed_measurements,
)
from naturalize.session import Session
from naturalize.setting import NO_VERSION, Setting
from naturalize.space import Codes
from naturalize.testing import ending_s, in_turn, measure_test, names_taken, published_of, write_front, write_network
from naturalize.training.adapt import Extent

CLASSIFIERS = 0.25  # of what the test leaves, at most, is kept for them: the last adaptation gives more
TESTING_SAFETY = 1.5  # how much longer than by measurements classifiers and test may take
FEW_NETWORKS = 5  # below which a front is told to be small
LEAST_LAST_S = 1.0  # of a last adaptation, however late it is


def conclude(
    setting: Setting,
    session: Session,
    version: int,
    codes: Codes,
    values: Floats,
    until: float | None = None,
    least_anew_s: float = np.inf,
) -> None:
    """Write the finished result of a weights version.

    Args:
        codes: architectures measured on validation under that version, `(n, d)`.
        values: their objectives, `(n, m)`.
        until: second of the run's clock by which the front should be tested, after a last adaptation; networks that
            there is no time for are left out. What comes too late for any gets a share of the budget. None where there
            is no last adaptation.
        least_anew_s: seconds from which on the last adaptation starts anew.
    """
    if session.version != version or not session.state["complete"]:
        name = setting.run.checkpoints.version(version)
        assert name is not None, "the last measured version is never pruned"
        session.load(name)
    front = front_of(setting, version, codes, values, learns_on=until is not None)
    if until is None:
        own = choose_classifiers(setting, front)
    else:
        setting, own = adapted_to_front(setting, session, front, until, least_anew_s)
    deliver(setting, front, until, own)


def conclude_untrained(setting: Setting) -> None:
    """Write the finished result of a run in which nothing was trained: the published network's."""
    deliver(setting, untrained_front(setting))


def deliver(
    setting: Setting, front: Front, until: float | None = None, own: Mapping[str, OwnClassifier] | None = None
) -> None:
    """Read the test split for a front, and write it with its networks as the finished result of a run.

    Args:
        until: as of `conclude`; None where there was no last adaptation.
        own: as of `measure_test`.
    """
    version, selected = front["val_weights_version"], len(front["networks"])
    with setting.watch.phase("final", version=version):
        measure_test(setting, front, until, own=own)
    front |= {"state": "finished", "last_adaptation": until is not None}
    found = verdict(front, selected - len(front["networks"]))
    front["notes"] = [*(note.message for note in setting.dataset.notes), *found]
    write_front(setting, front)
    if until is not None:
        forget(setting.run.directory)
    setting.watch.event("finished", version=version, networks=len(front["networks"]), verdict=found)


def write_stopped_front(setting: Setting) -> None:
    """A validation front of the last weights version that was measured as a whole; nothing where there is none yet."""
    closed, finished = setting.archive.iterations(), finished_under(setting.run.directory)
    if not closed or (finished is not None and finished[0] >= closed[-1]["weights_version"]):
        return
    version = closed[-1]["weights_version"]
    write_networks(setting, front_of(setting, version, *measured_values(setting, version)))


def write_probed_front(setting: Setting) -> None:
    """The front of the published network at several resolutions, before anything is trained.

    Nothing is written where none of them meets the requirements.
    """
    if not probed_measurements(setting):
        return
    networks = write_networks(setting, untrained_front(setting))["networks"]
    told = [{name: network[name] for name in ("resolution", "madds", "val_error")} for network in networks]
    setting.watch.event("probed", networks=told)


def untrained_front(setting: Setting) -> Front:
    """The front of the published network alone."""
    space, objectives = setting.supernet.family.space, setting.run.settings.objectives
    nothing = np.empty((0, len(space)), dtype=np.int64), np.empty((0, len(objectives)))
    return front_of(setting, NO_VERSION, *nothing)


def write_networks(setting: Setting, front: Front) -> Front:
    """Write a front that only validation knows, with those of its networks that were published."""
    untrained, taken = published_of(setting, front["networks"]), names_taken(setting.run.directory)
    for network in front["networks"]:
        if network["origin"] == PUBLISHED:
            write_network(setting, front, network, untrained[network["architecture"]], taken)
    write_front(setting, front)
    return front


def adapted_to_front(
    setting: Setting, session: Session, front: Front, tested: float, least_anew_s: float
) -> tuple[Setting, dict[str, OwnClassifier]]:
    """The last adaptation; then a classifier for each network.

    front.json says under which weights version validation was answered: the networks have learnt from it since.
    """
    networks = trained_on(front)
    if not networks:
        return setting, {}
    classifiers_s, test_s = ending_s(setting, front)
    fitted = tested - TESTING_SAFETY * test_s
    until = fitted - min(TESTING_SAFETY * classifiers_s, CLASSIFIERS * max(0.0, fitted - setting.watch.used_s))
    left = max(LEAST_LAST_S, until - setting.watch.used_s)
    seconds = setting.archive.decide(f"last {session.version} {setting.run.settings.budget_s}", lambda: left)
    setting = with_validation(setting)
    parse = setting.supernet.family.space.parse
    archs = [parse(network["architecture"]) for network in networks]
    adapt_to_front(setting, session, archs, Extent(seconds=seconds, until=until), seconds >= least_anew_s)
    front["val_weights_version"] = session.version
    front["weights_version"] = session.version + 1
    with setting.watch.phase("classifiers", version=front["weights_version"]):
        tried = in_turn(
            setting, "classifiers", networks, fitted, lambda each: refitted(setting, parse(each["architecture"]))
        )
        own = {network["architecture"]: found for network, found, _ in tried}
    for network in networks:
        network["own_classifier"] = network["architecture"] in own
    return setting, own


def choose_classifiers(setting: Setting, front: Front) -> dict[str, OwnClassifier]:
    """Fit a classifier for each network that was trained.

    Where validation is better for it, the entry says so. What is dominated then leaves the front, as in `front_of`.
    """
    parse = setting.supernet.family.space.parse
    networks = trained_on(front)
    with setting.watch.phase("classifiers", version=front["weights_version"]):
        tried = in_turn(
            setting, "classifiers", networks, None, lambda each: own_classifier(setting, parse(each["architecture"]))
        )
        own = {network["architecture"]: found for network, found, _ in tried if found is not None}
    for network in networks:
        found = own.get(network["architecture"])
        if found is not None:
            network["own_classifier"] = True
            network["val_error"] = 100.0 * found.wrong[0] / network["val_images"]
            network["val_error_views"] = 100.0 * float(np.mean(found.wrong)) / network["val_images"]
    codes = setting.supernet.family.space.codes([parse(network["architecture"]) for network in front["networks"]])
    errors = np.array([network["val_error_views"] for network in front["networks"]])
    values = objective_values(setting, codes, errors)
    rows = {*front_rows(values).tolist(), *nearly_best(setting, codes, values)}
    front["networks"] = [network for row, network in enumerate(front["networks"]) if row in rows]
    return own


def trained_on(front: Front) -> list[Entry]:
    """Entries of a front that the transfer trained."""
    return [network for network in front["networks"] if network["origin"] == TRANSFER]


def verdict(front: Front, untested: int = 0) -> list[str]:
    """What a user should know about a result, in sentences; nothing where all went well.

    Args:
        untested: networks that left the front since there was no time to test them.
    """
    networks, found = front["networks"], []
    published = sum(network["origin"] == PUBLISHED for network in networks)
    if untested:
        found.append(
            f"{untested} network{'s' * (untested != 1)} of the front had to be left out: there was no time to test more"
        )
    if front["weights_version"] == NO_VERSION:
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
        number = f"{len(networks)} network{'s' * (len(networks) != 1)}"
        found.append(f"only {number} on the front: a larger --budget, more pictures or a quieter machine give more")
    return found
