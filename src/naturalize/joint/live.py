"""The pages of a joint run that goes on: each data set has its own until all are done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from naturalize.joint.page import write_joint_report
from naturalize.joint.run import JointRun
from naturalize.report.live import LivePage, follow, report_once


def watch_joint_report(directory: Path, check: Callable[[], None], tell: Callable[[str], object]) -> Path:
    """Write the page of each data set anew whenever its archive has grown; at the end, that of the joint run: its path.

    Args:
        directory: of the joint run.
        check, tell: as of `report.live.watch_report`.

    Raises `UserError` where the run ended before it was finished.
    """
    sets = JointRun(directory).sets
    follow(directory, {f"{name}: ": LivePage(directory / name) for name in sets}, check, tell)
    for name in sets:
        if (directory / name / "report.html").exists():  # it is known how far it came
            report_once(directory / name)
    return write_joint_report(directory)
