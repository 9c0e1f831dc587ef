"""Progress for people: a live line on a terminal, plain steady lines anywhere else."""

from __future__ import annotations

import csv
import io
import json
import os
import textwrap
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from naturalize.errors import command, unknown
from naturalize.files import checksum_of
from naturalize.numbers import count, duration, percent, plural
from naturalize.objectives import BALANCED_ERROR, COST, ERROR, INT8_ERROR, LEARNT, OBJECTIVES, objective_of
from naturalize.progress import PHASES
from naturalize.run import FrontNetwork

if TYPE_CHECKING:
    from naturalize.forecast import Step

PLAIN_S = 10.0  # seconds between plain lines
FIRST_S = 2.0  # seconds before the first: work that is over sooner needs none
LEAST_SHARE = 0.005  # of a phase that is done, before its remaining time is shown
WORDS = {
    **PHASES,
    "scan": "reading pictures",
    "pixels": "resizing pictures",
    "models": "writing networks",
    "evaluate": "measuring networks",
    "adapt": "adapting the supernet",
    "test": "testing the front",
    "fetch": "fetching",
    "finetune": "fine-tuning",
    "study": "measuring",
    "machine": "timing this machine",
}


def console(stderr: bool = False) -> Console:
    """A console that does not break paths, and writes plain text where there is no terminal."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, no_color=True if "NO_COLOR" in os.environ else None)


class Terminal:
    """A listener to the events of a run. Use it as a context manager, so that the live line is removed at the end."""

    def __init__(self) -> None:
        self.console = console(stderr=True)
        self.live = self.console.is_terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.budget_s: float | None = None
        self.of = ""  # the data set of the event under way, of several
        self.reached: list[str] = []
        self._plain: float | None = None
        self._phase = ("", 0.0, 0.0)  # the phase under way, the second of its first progress, the share done then

    def __enter__(self) -> Terminal:
        if self.live:
            bar = BarColumn(bar_width=20 if self.console.width >= 60 else 8)
            columns = (TextColumn("{task.description}"), bar, TextColumn("{task.fields[left]}"))
            self.progress = Progress(*columns, console=self.console, transient=True)
            self.progress.start()
            self.task = self.progress.add_task("starting", total=1000, left="")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event; of several data sets, those of each begin with its name."""
        self.of = f"{event['set']}: " if "set" in event else ""
        shows = getattr(self, "on_" + event["event"].replace(" ", "_"), None)
        if shows is not None:
            shows(event)

    def say(self, text: str, wrap: bool = True) -> None:
        """Print a line that stays: in a file as it is, on a terminal broken between words unless it is to be copied."""
        text = self.of + text
        if self.live and wrap:
            text = textwrap.fill(
                text, self.console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        self.console.print(escape(text))

    def left(self, used_s: float) -> str:
        """Time left of the budget in words; time used where there is no budget."""
        if self.budget_s is None:
            return f"{duration(used_s)} so far"
        return f"{duration(max(0.0, self.budget_s - used_s))} left"

    def to_go(self, phase: str, share: float, used_s: float) -> str:
        """Time left of a phase in words, by its pace so far; empty under a budget, and where the pace is unknown."""
        if self._phase[0] != phase:
            self._phase = (phase, used_s, share)
        _, start_s, start = self._phase
        if self.budget_s is not None or used_s - start_s < PLAIN_S or share - start < LEAST_SHARE:
            return ""
        return f", about {duration((1 - share) * (used_s - start_s) / (share - start))} to go"

    def on_progress(self, event: dict[str, Any]) -> None:
        """Update the live line, or print a plain one every now and then."""
        if event["phase"] == "evaluate":
            return  # its measurement tells
        name, colon, phase = event["phase"].rpartition(": ")  # a joint run names the data set
        text = name + colon + WORDS.get(phase, phase)
        share = event["done"] / max(1, event["total"])
        left = self.left(event["used_s"]) + self.to_go(event["phase"], share, event["used_s"])
        if self.progress is not None and self.task is not None:
            left = self.with_reached(left, self.console.width - len(text) - 24)
            self.progress.update(self.task, description=text, completed=1000 * share, left=left)
            return
        now = time.monotonic()
        if self._plain is None:
            self._plain = now - PLAIN_S + FIRST_S
        if now - self._plain > PLAIN_S:
            self._plain = now
            self.say(f"  {text}: {100 * share:.0f}%, {left}")

    def with_reached(self, left: str, room: int) -> str:
        """The time left and the results so far, as many of them as fit into `room` columns."""
        for piece in self.reached:
            if len(left) + len(piece) + 2 > room:
                break
            left = f"{left}, {piece}"
        return left

    def on_start(self, event: dict[str, Any]) -> None:
        """Print the data and settings as understood, before anything is trained."""
        for line in event["summary"]:
            self.say(line)
        self.say(event["settings"])
        if "sets" in event:
            self.budget_s = event["budget_s"]

    def on_plan(self, event: dict[str, Any]) -> None:
        """Print the division of the budget, of several data sets that of a share."""
        if not self.of:
            self.budget_s = event["budget_s"]
        preparing = event["prepare_until"] - event["used_s"]
        before = f"{duration(preparing)} of preparation, then " if preparing > 1 else ""
        search = (
            f"about {plural(event['iterations'], 'iteration')} of {duration(event['iteration_s'])}, each measuring "
            f"about {event['members']} networks on {event['val_images']:,} validation images"
            if event["iterations"]
            else "no search in so little time"
        )
        left = duration(max(0.0, event["budget_s"] - event["final_from"]))
        trained = "train the front anew from the published network" if event["anew"] else "train the front on"
        self.say(f"plan: {before}{search}, then {left} to select and {trained}, and to test it")

    def on_iteration(self, event: dict[str, Any]) -> None:
        """Print the result of a measuring pass; of several data sets, that of all at once."""
        if self.of:
            return
        name = "final measurement" if event["final"] else f"iteration {event['iteration']}"
        error = "-" if event["best_error"] is None else f"{event['best_error']:.2f}%"
        if best := event.get("best"):
            error = ", ".join(f"{value:.1f}% on {name.partition('@')[2]}" for name, value in best.items())
        self.reached = [name, f"best error {error}", f"hypervolume {event['hypervolume']:.4f}"]
        seconds = event["seconds"]
        if INT8_ERROR in seconds:
            share = 100 * seconds[INT8_ERROR] / max(1e-9, sum(seconds.values()))
            self.say(f"{INT8_ERROR} took {share:.0f}% of the time of measuring")
        self.say(
            f"{name}: {plural(event['measured'], 'network')} measured, {event['networks']} on the front, best error "
            f"{error}, hypervolume {event['hypervolume']:.4f}, {self.left(event['used_s'])}"
        )

    def on_predictor(self, event: dict[str, Any]) -> None:
        """Print how far the predictor can be trusted."""
        tau = event["rank_correlation"]
        told = "not defined" if tau is None else f"{tau:.2f}"
        self.say(f"predictor: {event['pairs']} measurements, held-out rank correlation {told}")

    def on_latency(self, event: dict[str, Any]) -> None:
        """Print how far a latency model can be trusted."""
        if not event.get("networks"):
            self.say(f"{event['name']}: by its table, which no network here has judged")
            return
        rank = "not defined" if event["spearman"] is None else f"{event['spearman']:.3f}"
        self.say(
            f"{event['name']}: a model from {event['fitted_to']} measured networks; on {event['networks']} that it did "
            f"not know: rank correlation {rank}, median error {event['median_error']:.1f}%"
        )
        if missing := event.get("unmeasured_layers"):
            self.say(
                f"{plural(missing, 'layer')} of this supernet {'is' if missing == 1 else 'are'} in no measured "
                "network: their work tells what they take"
            )

    def on_unmeasured(self, event: dict[str, Any]) -> None:
        """Print why the front was not measured for real."""
        self.say(f"{event['name']} of the front is its model's alone: {event['reason']}")

    def on_probed(self, event: dict[str, Any]) -> None:
        """Print the front of the published network, before anything is trained."""
        networks = event["networks"]
        ends = [networks[0], min(networks, key=lambda network: network["val_error"])][: len(networks)]
        told = " to ".join(f"{end['val_error']:.1f}% at {count(end[COST])} {OBJECTIVES[COST].words}" for end in ends)
        number = plural(len(networks), "network")
        self.say(f"front of the published network, untrained: {number}, validation error {told}")

    def on_finished(self, event: dict[str, Any]) -> None:
        """Print what a user should know about the result."""
        for sentence in event["verdict"]:
            self.say(sentence)

    def on_prepared(self, event: dict[str, Any]) -> None:
        """Print the errors of a prepared supernet's corners."""
        self.say(f"validation error: largest {event['largest_error']:.2f}%, smallest {event['smallest_error']:.2f}%")

    def on_finetuned(self, event: dict[str, Any]) -> None:
        """Print what fine-tuning did to a network."""
        if event["after"] is None:
            self.say(
                f"{event['architecture']}: trained on; it had learnt from the validation pictures, so these cannot "
                "judge: it takes the old one's place, and the front has the test errors of both"
            )
            return
        before, after = f"{event['before']:.2f}% before", f"{event['after']:.2f}% after"
        kept = "" if event["kept"] else ": not better, so the network stays as it was"
        self.say(f"{event['architecture']}: validation error {before}, {after}{kept}")

    def on_already_finished(self, event: dict[str, Any]) -> None:
        """Print how to go on with a run that is finished already."""
        budget, iterations, run = event["budget_s"], event["iterations"], event["run"]
        more = f"--budget {round(budget / 30)}m" if budget is not None else f"--iterations {2 * iterations}"
        of_transfer = f"{command('resume', run)} {more}"
        how = of_transfer if event["goal"] == "transfer" else f"start another one from it, as --supernet {run}"
        self.say(f"finished already; for more: {how}", wrap=False)


def front_table(
    networks: Sequence[FrontNetwork], objectives: Sequence[str] = (), metric: str | None = None
) -> list[str]:
    """Networks of a front, in lines of text: nothing is cut off, however narrow the terminal.

    Args:
        networks: a line each.
        objectives: of the run; those that every table has need not be among them.
        metric: accuracy that the field reports on the data, as of `Dataset`.
    """
    finetuned = any(network.before_finetuning for network in networks)
    others = [name for name in objectives if name not in (ERROR, BALANCED_ERROR, COST, "params")]
    balanced = BALANCED_ERROR in objectives
    if metric is not None:  # else the data room, which takes a while, is not needed
        from naturalize.data.named import MEAN_PER_CLASS

        balanced |= metric == MEAN_PER_CLASS
    head = ["architecture", "px", "MAdds", "params", *others, "val error", "test error"]
    head += ["val balanced", "test balanced"] if balanced else []
    rows = [[*head, "val before", "test before"] if finetuned else head]
    for network in networks:
        counts = str(network.resolution), count(network.madds), count(network.params)
        besides = (objective_of(name).shown(network.value(name)) for name in others)
        rows.append([network.architecture, *counts, *besides, percent(network.val_error), percent(network.test_error)])
        if balanced:
            rows[-1] += [percent(network.val_balanced_error), percent(network.test_balanced_error)]
        if finetuned:
            before = network.before_finetuning or {}
            rows[-1] += [percent(before.get(name)) for name in ("val_error", "test_error")]
    return in_columns(rows)


def datasets_table() -> list[str]:
    """The data sets that have a name, in lines of text: pictures by split, classes, metric, licence."""
    from naturalize.data.named import NAMED
    from naturalize.data.parts import SPLITS

    rows = [["name", *SPLITS, "classes", "accuracy", "licence"]]
    for name, record in NAMED.items():
        pictures = (f"{record.pictures[split]:,}" if split in record.pictures else "cut" for split in SPLITS)
        rows.append([name, *pictures, str(record.classes), record.metric, record.licence])
    return in_columns(rows, words=("accuracy", "licence"))


def dataset_lines(name: str) -> list[str]:
    """All that is known of a data set by its name, in lines of text. Raises `UserError` for an unknown one."""
    from naturalize.data.named import NAMED

    if name not in NAMED:
        raise unknown("data set", name, NAMED)
    record = NAMED[name]
    pictures = ", ".join(f"{record.pictures[split]:,} {split} ({record.splits[split]})" for split in record.splits)
    return [
        f"{record.title}: {record.classes:,} classes; pictures {pictures}",
        f"Hub: {record.hub}, columns {record.image} and {record.label}{', wants a login' if record.gated else ''}",
        f"the field reports {record.metric} accuracy; licence: {record.licence}",
        record.citation,
    ]


def steps_table(steps: Sequence[Step]) -> list[str]:
    """Steps of a transfer in lines of text, and what they would take together."""
    rows = [["step", "networks", "epochs", "steps", "here"]]
    for step in steps:
        times = f"{step.times} x " if step.times > 1 else ""
        numbers = [(step.networks, ","), (step.epochs, ".3g"), (step.steps, ",")]
        counts = ["" if number is None else f"{times}{number:{form}}" for number, form in numbers]
        rows.append([step.words, *counts, duration(step.seconds)])
    total = duration(sum(step.seconds for step in steps))
    return [*in_columns(rows), f"in all about {total} on this machine as it is now"]


def in_columns(rows: Sequence[Sequence[str]], words: Sequence[str] = ()) -> list[str]:
    """A table in lines of text.

    Args:
        rows: the header first.
        words: columns that begin on the left, as the first one does; others are numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [number for number, name in enumerate(rows[0]) if not number or name in words]
    return [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def front_json(networks: Sequence[FrontNetwork], front: dict[str, Any]) -> list[str]:
    """The content of front.json with these networks alone, in this order, in lines of text."""
    entries = {entry["architecture"]: entry for entry in front["networks"]}
    chosen = {**front, "networks": [entries[network.architecture] for network in networks]}
    return [json.dumps({**chosen, "checksum": checksum_of(chosen)}, indent=1, ensure_ascii=False)]


def front_csv(networks: Sequence[FrontNetwork]) -> list[str]:
    """Networks of a front as a table for other programs: a header, then a line each, with commas between."""
    columns = ["architecture", "resolution", "val_error", "val_images", "test_error", "test_images"]
    columns += ["val_balanced_error", "test_balanced_error", "weights"]
    counts = list(dict.fromkeys([*LEARNT, *(name for network in networks for name in network.objectives)]))
    measured = list(dict.fromkeys(name for network in networks for name in network.measured))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*columns, *counts, *(f"{name} measured" for name in measured)])
    for network in networks:
        rows.writerow(
            [getattr(network, name) for name in columns]
            + [network.objectives.get(name, getattr(network, name, None)) for name in counts]
            + [network.measured.get(name, {}).get("value") for name in measured]
        )
    return text.getvalue().splitlines()
