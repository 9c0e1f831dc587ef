"""Pages for people: what a run found, made from the files of its directory alone."""

from naturalize.report.figures import front_svg
from naturalize.report.report import write_report

__all__ = ["front_svg", "write_report"]
