"""The frame of all pages: one file that needs nothing from outside, with Plotly in it where there are figures."""

import html
import json
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs


def html_page(title: str, body: str, data: Any, scripts: Sequence[str], plots: bool = True) -> str:
    """The HTML of a whole page.

    Args:
        title: of the page.
        body: HTML.
        data: JSON value for the scripts.
        scripts: files of this package; all pages have `draw.js` first.
        plots: whether there are figures; without them the page is small.
    """
    plotly = f"<script>{library()}</script>\n" if plots else ""
    parts = "".join(f"<script>\n{asset(name)}</script>\n" for name in ("draw.js", *scripts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<style>
{asset("page.css")}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="data">{json_text(data)}</script>
{plotly}{parts}</body>
</html>
"""


@cache
def library() -> str:
    """Plotly's script. Its links, which do not show here, lose their scheme, so that pages have no outside address."""
    return re.sub(r"""\b(src|href)=(["'])https?://""", r"\1=\2//", get_plotlyjs())


def asset(name: str) -> str:
    """The text of a file of this package."""
    return resources.files("naturalize.report").joinpath(name).read_text(encoding="utf-8")


def json_text(data: Any) -> str:
    """JSON that may stand in a script element: no name in it can end the element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def run_name(run_directory: Path) -> str:
    """The run's path where it is relative, else its last part: reports are shared, and absolute paths must not leak."""
    name = run_directory.resolve().name if run_directory.is_absolute() else run_directory.as_posix()
    # In an ASCII locale, Python holds the bytes of other letters as surrogates, which no file can.
    return os.fsencode(name).decode(errors="replace")
