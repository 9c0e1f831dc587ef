"""The code blocks of the pages, as CommonMark has them, and what says that one of them is not to be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(r"<!-- not run: (.+?) -->\s*$", re.DOTALL)
RUN = ("python", "sh", "")  # blocks that are indented, and name no language, hold commands on all pages
SHOWN = ("text", "json")  # what a command prints; nothing that could be run


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page, line: where it is.
        language: as the fence names it.
        text: its content.
        reason: why it is not run; None where it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def place(self) -> str:
        """Page and line, as editors understand them."""
        return f"{self.page}:{self.line}"


def code_of(page: Path) -> list[Block]:
    """The code of a page, in order. A comment `<!-- not run: REASON -->` stands directly before what is not run."""
    found, reason = [], None
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        language = token.info.split(" ")[0]
        if token.type in ("fence", "code_block") and language not in SHOWN:
            first = (token.map or [0])[0] + 1
            found.append(Block(page.relative_to(ROOT).as_posix(), first, language, token.content, reason))
        mark = MARK.search(token.content) if token.type == "html_block" else None
        reason = mark[1] if mark else None
    return found
