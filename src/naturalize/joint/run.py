"""`JointRun`: the directory of one search over several data sets, opened."""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from naturalize.archive import Archive
from naturalize.errors import UserError
from naturalize.joint.front import read_joint_front
from naturalize.run import Run, Settings
from naturalize.run.settings import JOINT_FACTS, read_settings, write_settings
from naturalize.space import SearchSpace
from naturalize.supernet import Family, make_family


class JointRun:
    """The directory of a joint run. It has `run.toml`, `archive.sqlite`, and a run for each data set, by its name.

    Attributes:
        directory: where it is.
        settings: what was asked for; objectives have names as `error@a`.
        facts: tables of run.toml: `sets`, with the source of each, `pixels`, `machine`.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.settings, self.facts = read_settings(self.directory / "run.toml", JOINT_FACTS)

    @classmethod
    def create(cls, directory: Path, settings: Settings, facts: dict[str, dict[str, Any]]) -> JointRun:
        """Write run.toml into a prepared directory and open it; arguments are attributes of the class."""
        write_settings(directory / "run.toml", settings, facts)
        return cls(directory)

    @property
    def sets(self) -> list[str]:
        """Names of the data sets."""
        return list(self.facts["sets"])

    @property
    def family(self) -> Family:
        """The supernet's family, with the resolutions that all data sets share."""
        return make_family(self.settings.supernet, 0, self.facts["pixels"]["resolutions"])

    @cached_property
    def space(self) -> SearchSpace:
        """The architectures that are searched and trained."""
        trained = [side for side in self.family.resolutions if side <= self.facts["pixels"]["trained"]]
        return self.family.space.up_to(len(trained) - 1)

    def run(self, name: str) -> Run:
        """The run of one data set: its networks are exported and used like those of any other."""
        return Run(self.directory / name)

    def archive(self, *, read_only: bool = True) -> Archive:
        """Open the archive: members of all iterations, and what was decided for all data sets.

        Raises `UserError` where it is gone, unless a writer has yet to begin it.
        """
        path = self.directory / "archive.sqlite"
        there = path.exists() and path.stat().st_size > 0
        begun = any((self.directory / name / "archive.sqlite").exists() for name in self.sets)
        if not there and (begun or read_only):
            raise UserError(f"{path} is gone or empty: put it back from a copy, or start a new run")
        return Archive(path, self.family.space, read_only=read_only)

    def front(self) -> dict[str, Any]:
        """The content of front.json (docs/formats.md). Raises `UserError` where it is not finished yet."""
        return read_joint_front(self.directory)


def is_joint(directory: str | Path) -> bool:
    """Whether a directory is that of a joint run."""
    return "sets" in tables_of(directory)


def whole_run(directory: Path) -> Path:
    """The directory of the joint run that a run is part of; its own where it is none."""
    return directory.parent if "joint" in tables_of(directory) else directory


def tables_of(directory: str | Path) -> dict[str, Any]:
    """The tables of a directory's run.toml; none where it is missing or damaged."""
    try:
        return tomllib.loads((Path(directory) / "run.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
