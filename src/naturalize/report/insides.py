"""What a run's directory tells beyond its front: costs of any architecture, all that was measured, what was decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize import journal, probing, whole
from naturalize.archive import Archive, Measurement
from naturalize.drawing import distribution
from naturalize.errors import UserError
from naturalize.objectives import BALANCED_ERROR, ERROR, deciding_error, plain_error
from naturalize.objectives.exact import exact_counts, whole_layers
from naturalize.objectives.latency import Latency, file_of, kept_model
from naturalize.run import Run
from naturalize.space import Architecture, Codes
from naturalize.supernet.layers import LayerTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Architectures that were measured alike, beside those of the front.

    Attributes:
        name: in words.
        codes: `(n, d)`.
        errors: on validation in percent, as the front's `val_error`, `(n,)`.
        balanced: their balanced errors, `(n,)`; None where they are not known.
        alone: whether each is a network that stands by itself, and not one of the supernet's many.
    """

    name: str
    codes: Codes
    errors: Floats
    balanced: Floats | None = None
    alone: bool = False


class Insides:
    """A run, looked into without its data, also beside a process that works on it.

    Args:
        directory: of the run. Raises `UserError` where its run.toml cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self.run = Run(directory)
        self.family = self.run.family
        self.channels = int(self.run.facts["data"]["channels"])

    def costs(self, names: Sequence[str]) -> dict[str, Callable[[Codes], Floats]]:
        """Functions from codes `(n, d)` to costs `(n,)`, for those of the names that are counted or have a model."""
        found: dict[str, Callable[[Codes], Floats]] = {}
        counts = exact_counts(self.family, self.run.task, self.channels)
        for name in names:
            if name in counts:
                found[name] = counts[name]
            elif (known := kept_model(self.run.directory / file_of(name))) is not None:
                found[name] = Latency(known[0], self.family, self.run.task, self.channels)
        return found

    def layers(self, codes: Codes) -> LayerTable:
        """The layer table of whole networks, head included."""
        return whole_layers(self.family, self.run.task, self.channels)(codes)

    def archs(self, texts: Sequence[str]) -> list[Architecture]:
        """The architectures of strings. Raises `UserError` for a string of another space."""
        return [self.family.space.parse(text) for text in texts]

    def archive(self) -> Archive:
        """The archive, to read."""
        return self.run.archive()

    @cached_property
    def measured(self) -> dict[int, list[Measurement]]:
        """What succeeded of the error's measurements on validation, by weights version."""
        with closing(self.archive()) as archive:
            found = {
                version: archive.measurements(self.run.context(ERROR, version))
                for version in archive.versions(ERROR, self.run.task_name)
            }
        return {version: [m for m in by.values() if m.value is not None] for version, by in found.items()}

    def others(self, version: int, on_front: Sequence[str]) -> list[Group]:
        """Everything measured that is not on a front, each architecture once.

        Args:
            version: weights version of the front's validation errors.
            on_front: strings of the front's networks.
        """
        seen, groups = set(on_front), []
        names = [(version, "measured under the same weights")]
        names += [(v, "measured under newer weights, going on") for v in self.measured if v > version]
        names += [(v, "measured under earlier weights") for v in sorted(self.measured, reverse=True) if v < version]
        by_name: dict[str, list[Measurement]] = {}
        for v, name in names:
            new = [m for m in self.measured.get(v, []) if m.architecture.text not in seen]
            seen |= {m.architecture.text for m in new}
            by_name.setdefault(name, []).extend(new)
        for name, found in by_name.items():
            errors = np.array([plain_error(m.value, m.detail) for m in found], dtype=np.float64)
            balanced = np.array([m.detail.get("balanced") for m in found], dtype=np.float64)
            codes = self.family.space.codes([m.architecture for m in found])
            groups.append(Group(name, codes, errors, balanced if np.isfinite(balanced).all() else None))
        groups += [
            self.by_itself("published network, linear classifier", probing.FILE),
            self.by_itself("whole network, plain fine-tuning", whole.FILE),
        ]
        return [group for group in groups if len(group.codes)]

    def by_itself(self, name: str, file: str) -> Group:
        """A whole network that was read by itself, at each of its resolutions; none where it was not."""
        probes, task = probing.probes_of(self.run.directory, file), self.run.task
        sides = [] if probes is None else [side for side in probes.resolutions if side in self.family.resolutions]
        codes = self.family.space.wholes()[[self.family.resolutions.index(side) for side in sides]]
        errors = [] if probes is None else [task.error(torch.from_numpy(probes.answers[side][0])) for side in sides]
        return Group(name, codes, np.array(errors, dtype=np.float64), alone=True)

    def predictions(self) -> list[dict[str, Any]]:
        """Of each iteration measured and predicted errors of architectures that its predictor had not seen.

        `tau` is their rank correlation (Kendall), -1 to 1; None where there is none.
        """
        from scipy.stats import kendalltau  # slow to import

        found = []
        balanced = deciding_error(self.run.settings.objectives) == BALANCED_ERROR
        with closing(self.archive()) as archive:
            for version, measured in self.measured.items():
                kept = archive.decision(journal.predicted(version))
                values = {m.architecture.text: m.detail["balanced_views"] if balanced else m.value for m in measured}
                if kept and all(text in values for text in kept["architectures"]):
                    texts = kept["architectures"]
                    seen = [round(values[text] or 0.0, 3) for text in texts]
                    predicted = [round(value, 3) for value in kept["predicted"]]
                    tau = float(kendalltau(seen, predicted).statistic)
                    one = {
                        "iteration": version,
                        "tau": None if np.isnan(tau) else round(tau, 2),
                        "architectures": texts,
                    }
                    found.append(one | {"measured": seen, "predicted": predicted})
        return found

    def distributions(self) -> dict[str, Any] | None:
        """How p moved: names of variables, of their options, and shares of options in thousandths by iteration.

        The first step is the archive that a run begins with, the others what each adaptation drew from
        (`drawing.distribution`). None where nothing was adapted to yet.
        """
        steps, shares = [], []
        with closing(self.archive()) as archive:
            space = archive.space
            t = 0
            while members := archive.members(t):
                p = (1000 * distribution(space, space.codes(members))).round().astype(int)
                ends = space.upper.tolist()
                shares.append([row[: end + 1] for row, end in zip(p.tolist(), ends, strict=True)])
                steps.append("first archive" if t == 0 else f"adaptation {t}")
                t += 1
        if len(steps) < 2:
            return None
        free = np.flatnonzero(space.upper > space.lower).tolist()
        return {
            "steps": steps,
            "variables": [space.variables[column].name.replace(".", ", ") for column in free],
            "options": [self.options(column) for column in free],
            "shares": [[step[column] for column in free] for step in shares],
        }

    def options(self, column: int) -> list[str]:
        """What each code of a variable means, from code 0."""
        variable = self.family.space.variables[column]
        if column == 0:
            return [f"{side} px" for side in self.family.resolutions[: variable.upper + 1]]
        if not variable.factors:
            return [str(code) for code in range(variable.upper + 1)]
        meaning = [
            ", ".join(f"{name} {values[code]:g}" for name, values in variable.factors) for code in range(variable.upper)
        ]
        return ["absent", *meaning]


def look_into(directory: Path) -> Insides | None:
    """The insides of a run; None where its run.toml is missing, damaged or of another naturalize."""
    try:
        return Insides(directory)
    except (UserError, KeyError, TypeError, ValueError):
        return None
