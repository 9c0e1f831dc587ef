"""`Run`: one run directory, opened to work on it or to read its result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from naturalize.archive import TASK, Archive, Context
from naturalize.data import Preprocessing
from naturalize.errors import UserError, command
from naturalize.exporting import Network, load_network
from naturalize.files import existing_parent, room_on_disk
from naturalize.numbers import duration
from naturalize.objectives.requirement import parse_requirement
from naturalize.run.checkpoints import Checkpoints
from naturalize.run.choosing import Choice, choose
from naturalize.run.front import FrontNetwork, networks_of, read_front
from naturalize.run.lock import locked
from naturalize.run.settings import Settings, read_settings, write_settings
from naturalize.run.stored import StoredPixels, load_pixels
from naturalize.space import Architecture, SearchSpace
from naturalize.supernet import Family, Supernet, make_family
from naturalize.tasks import CLASSIFICATION, KINDS, Task
from naturalize.training.subnets import Subnets

BEGINNINGS = ("splits.json", "pixels.safetensors", "run.toml")  # written in this order; the last makes it a run


class Run:
    """A run directory.

    Attributes:
        directory: where it is.
        settings: what was asked for.
        facts: tables of run.toml about data, network and machine, as docs/formats.md lists them.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.settings, self.facts = read_settings(self.directory / "run.toml")
        self.checkpoints = Checkpoints(self.directory / "supernet")

    @classmethod
    def create(cls, directory: Path, settings: Settings, facts: dict[str, dict[str, Any]]) -> Run:
        """Write run.toml into a prepared directory and open it.

        Args:
            directory: of the run.
            settings, facts: contents of run.toml, as of `Run`.
        """
        write_settings(directory / "run.toml", settings, facts)
        return cls(directory)

    def with_settings(self, settings: Settings) -> Run:
        """The run with other settings, which are written to run.toml."""
        if settings == self.settings:
            return self
        return Run.create(self.directory, settings, self.facts)

    def describe(self) -> str:
        """The settings in one line."""
        asked = self.settings
        spend = (
            f"budget {duration(asked.budget_s)}"
            if asked.budget_s is not None
            else f"{asked.iterations} iterations of {asked.epochs} epochs"
        )
        limits = f" with {', '.join(asked.requirements)}" if asked.requirements else ""
        if asked.goal == "prepare":
            return f"{asked.start}, preparation alone, {spend}, seed {asked.seed}"
        balanced = ", balanced classes" if asked.balanced else ""
        recipe = f"; by the recipe {asked.recipe[0]}: {', '.join(asked.recipe[1:])}" if asked.recipe else ""
        told = f"{asked.start}, minimise {', '.join(asked.objectives)}{limits}{balanced}, {spend}, seed {asked.seed}"
        return told + recipe

    # data, supernet, archive ----------------------------------------------------------------------------------------

    @property
    def family(self) -> Family:
        """The supernet's family, with the resolutions of this run."""
        return make_family(self.settings.supernet, self.facts["data"]["side"], self.facts["pixels"]["resolutions"])

    @cached_property
    def trained(self) -> tuple[int, ...]:
        """The resolutions at which networks are searched and trained, ascending: the first of the family's, or all."""
        largest = self.facts["pixels"].get("trained", self.family.resolutions[-1])
        return tuple(side for side in self.family.resolutions if side <= largest)

    @cached_property
    def space(self) -> SearchSpace:
        """The architectures that are searched and trained."""
        return self.family.space.up_to(len(self.trained) - 1)

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the logits."""
        return list(self.facts["data"]["class_names"])

    @property
    def mask_values(self) -> list[int]:
        """The value of each class in mask files; nothing where pictures have classes."""
        return list(self.facts["data"].get("mask_values", []))

    @property
    def jpeg_side(self) -> int | None:
        """Side in pixels that JPEGs are reduced to as they are decoded; None in runs of an older naturalize."""
        side: int | None = self.facts["pixels"].get("jpeg_side")
        return side

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name; one today."""
        kinds = self.facts.get("tasks", {TASK: CLASSIFICATION})
        return {name: KINDS[kind](len(self.class_names)) for name, kind in kinds.items()}

    @property
    def task_name(self) -> str:
        """Name of the one task."""
        (name,) = self.tasks
        return name

    @property
    def kind(self) -> str:
        """Kind of the one task."""
        kinds: dict[str, str] = self.facts.get("tasks", {TASK: CLASSIFICATION})
        return kinds[self.task_name]

    @property
    def task(self) -> Task:
        """The one task."""
        return self.tasks[self.task_name]

    def context(self, objective: str, version: int, split: str = "val") -> Context:
        """The context of measured values; search and selection compare values on `val`.

        Args:
            objective, version, split: as of `Context`.
        """
        return Context(objective, self.task_name, split, version)

    @property
    def keeps_statistics(self) -> bool:
        """Whether batch norms keep the statistics that came with the weights, in training and in every subnet."""
        return bool(self.facts.get("network", {}).get("keeps_statistics", False))

    def new_supernet(self) -> Supernet:
        """A supernet of this run's shape, with weights drawn by the seed; the caller's generator stays as it is."""
        family, pixels = self.family, self.facts["pixels"]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.settings.seed)  # not those of GPUs, which are the caller's
            heads = {name: task.heads(family) for name, task in self.tasks.items()}
            return Supernet(family, heads, pixels["mean"], pixels["std"])

    def trained_supernet(self) -> Supernet:
        """The supernet with the weights of the latest checkpoint. Raises `UserError` where there is none."""
        name = self.checkpoints.latest()
        if name is None:
            raise UserError(f"{self.directory} holds no supernet yet: finish its preparation first")
        supernet = self.new_supernet()
        supernet.load_state_dict(self.checkpoints.load(name)[0])
        return supernet

    def stored(self, name: str) -> StoredPixels:
        """The pictures that the run keeps under a name, `calibration` or `check`."""
        return load_pixels(self.directory / "pixels.safetensors", name)

    def archive(self, *, read_only: bool = True) -> Archive:
        """Open the archive of the run. Raises `UserError` where there is none, unless a writer has yet to begin it."""
        path = self.directory / "archive.sqlite"
        there = path.exists() and path.stat().st_size > 0
        if read_only and not path.exists():
            raise UserError(f"nothing measured yet in {self.directory}: it has no archive.sqlite")
        if not there and (self.checkpoints.latest() is not None or (self.directory / "front.json").exists()):
            raise UserError(f"{path} is gone or empty: put it back from a copy, or start a new run")
        return Archive(path, self.family.space, read_only=read_only)

    # the result -----------------------------------------------------------------------------------------------------

    def front(self) -> list[FrontNetwork]:
        """The networks of the front, ascending in multiply-adds. Raises `UserError` where nothing was measured yet."""
        return networks_of(read_front(self.directory))

    def choose(
        self, require: str | Sequence[str] = (), *, knee: bool = False, at: str | None = None
    ) -> tuple[RunNetwork, str]:
        """A network of the front by a rule, and why it is this one, in words.

        Args:
            require: limits, as `"madds<5M"`; the most accurate within them unless told otherwise.
            knee: take the knee of the front, see `choosing.knee`.
            at: take the network whose cost is nearest, as `"madds=20M"`.
        """
        texts = [require] if isinstance(require, str) else list(require)
        rule = Choice([parse_requirement(text) for text in texts], knee, at)
        network, why = choose(self.front(), rule, self.settings.objectives)
        return RunNetwork(self, network), why

    def best(self, require: str | Sequence[str] = ()) -> RunNetwork:
        """The most accurate network that meets the requirements, as `"madds<5M"`; see `front.most_accurate`."""
        return self.choose(require)[0]

    def network(self, architecture: str) -> RunNetwork:
        """The network of the front with that architecture string. Raises `UserError` where there is none."""
        self.family.space.parse(architecture)
        found = [n for n in networks_of(read_front(self.directory), True) if n.architecture == architecture]
        if not found:
            raise UserError(f"{architecture} is not on the front: `{command('front', self.directory)}` lists it")
        return RunNetwork(self, found[0])

    def load(self, network: FrontNetwork) -> Network:
        """Weights and card of a network of the front; cut from the kept supernet where the run was stopped."""
        if network.weights is not None:
            return load_network(self.directory / network.weights)
        front = read_front(self.directory)
        arch = self.family.space.parse(network.architecture)
        entry = next(n for n in front["networks"] if n["architecture"] == network.architecture)
        return self.cut(arch, card_of(self, front, entry), front["weights_version"])

    def cut(self, arch: Architecture, card: dict[str, Any], version: int) -> Network:
        """A calibrated network from the checkpoint that completed a weights version. Raises `UserError`.

        Args:
            arch, version: architecture and weights version.
            card: of the network, without `spec`.
        """
        name = self.checkpoints.version(version)
        if name is None:
            raise UserError(f"{self.directory} no longer holds the supernet of weights version {version}")
        supernet = self.new_supernet()
        supernet.load_state_dict(self.checkpoints.load(name)[0])
        subnet = Subnets(supernet, self.stored("calibration"), torch.device("cpu"), self.keeps_statistics).of(arch)
        return Network(subnet, {**card, "spec": subnet.spec})


class RunNetwork:
    """One network of a run's front, ready to be used.

    Attributes:
        measured: its numbers.
    """

    def __init__(self, run: Run, measured: FrontNetwork) -> None:
        self.run = run
        self.measured = measured

    def load(self) -> Network:
        """Weights and card of the network."""
        return self.run.load(self.measured)

    def module(self) -> torch.nn.Module:
        """A plain module in eval mode: pixels 0..255 `(n, channels, r, r)` to logits `(n, classes)`."""
        return self.load().subnet.eval()


def card_of(run: Run, front: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The card of a network of a front (docs/formats.md), without `spec`.

    Args:
        run: whose front it is.
        front, entry: content of front.json, and one of its networks.
    """
    pixels = run.facts["pixels"]
    preprocessing = Preprocessing(
        run.facts["data"]["channels"], entry["resolution"], tuple(pixels["mean"]), tuple(pixels["std"]), run.jpeg_side
    )
    names = ("architecture", "resolution", "madds", "params", "val_error", "val_images", "test_error", "test_images")
    return {
        "format": 1,
        "supernet": front["supernet"],
        "task": front["task"],
        "weights_version": front["weights_version"],
        **{name: entry[name] for name in names},
        "test_confidence": entry.get("test_confidence"),  # not in a front of an older naturalize
        "class_names": run.class_names,
        "activation": run.task.activation,
        **({"mask_values": run.mask_values} if run.mask_values else {}),
        "preprocessing": preprocessing.card(),
    }


# directories --------------------------------------------------------------------------------------------------------


@contextmanager
def prepared_directory(out: Path, *data: Any) -> Iterator[bool]:
    """Make and lock the directory of a run; yields whether it holds one already.

    A directory that holds no run in the end is removed again: bad data leave nothing behind.

    Args:
        out: directory: new, empty, or a run's.
        data: sources of images, of which a run must stay out of folders.

    Raises:
        UserError: for a file, for a directory with other content, in or above the data, not writable, or in use.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: give a directory for the run")
    for source in data:
        check_outside(out, source)
    exists = (out / "run.toml").exists()
    if out.is_dir() and not exists:
        others = sorted(path.name for path in out.iterdir() if not is_beginning(path))
        if others:
            raise UserError(f"--out {out} exists and is no run (it holds {others[0]}): choose another directory")
    parent = existing_parent(out)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{out} cannot be written (no permission in {parent}): choose another directory")
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        with room_on_disk(out):
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made ({error.strerror}): choose another directory") from error
    try:
        with locked(out):
            try:
                yield exists
            finally:
                if not (out / "run.toml").exists():
                    for path in [path for path in out.iterdir() if is_beginning(path)]:
                        with contextlib.suppress(OSError):
                            path.unlink()
    finally:
        with contextlib.suppress(OSError):  # one that is not empty stays, and those above it
            for path in made:
                path.rmdir()


def check_outside(out: Path, data: Any) -> None:
    """Raise `UserError` where the directory of a run would lie in the folder of the images, if they are in one."""
    if isinstance(data, str | Path) and Path(data).is_dir() and out.resolve().is_relative_to(Path(data).resolve()):
        raise UserError(f"--out {out} lies in the data {data}: choose a directory elsewhere")


def is_beginning(path: Path) -> bool:
    """Whether a file was left by a process that was killed before its directory had become a run."""
    if path.name in ("lock", "lock.json"):
        return True
    ours = any(path.name == name or path.name.startswith(f".{name}.") for name in BEGINNINGS)
    return ours and path.with_name("lock").exists()


def source_to(source: str, directory: Path) -> str:
    """A data source as run.toml keeps it: a path relative to the run with `/`, or a name as it is."""
    if not Path(source).exists():
        return source
    try:
        return Path(os.path.relpath(Path(source).resolve(), directory.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return Path(source).resolve().as_posix()


def source_from(kept: str, directory: Path) -> str:
    """The inverse of `source_to`, for the present place of the run."""
    path = directory / kept
    return os.path.relpath(path) if path.exists() else kept
