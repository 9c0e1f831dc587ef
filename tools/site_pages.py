"""What the docs site takes from the code (a hook of mkdocs): commands from the command line, functions from docstrings.

A line `<!-- made: NAME -->` of a page is replaced by what the function NAME below gives.
"""

import re
from textwrap import dedent
from typing import Any

import typer
import typer.cli
import typer.main

import naturalize
from naturalize.cli import app

OPTIONS = {"Run": "\n    options: {members: [front, choose, best, network]}"}  # the others are for naturalize itself


def commands() -> str:
    """Every command with its arguments, options and examples, as `--help` prints them."""
    command = typer.main.get_command(app)
    told = typer.cli.get_docs_for_click(obj=command, ctx=typer.Context(command), name="naturalize")
    told = told.removeprefix("# `naturalize`\n")
    told = told.replace("\b\n", "").replace("```console\n$ ", "```text\n")
    told = re.sub(r"\{([A-Z.]+)\}", r"\1", told).replace("......", "...")
    return re.sub(r"(?:^  \S.*\n)+", lambda lines: f"\n```sh\n{dedent(lines[0])}```\n", told, flags=re.MULTILINE)


def functions() -> str:
    """What `import naturalize` offers, in the order of `__all__`, for mkdocstrings."""
    names = [name for name in naturalize.__all__ if name != "__version__"]
    return "\n\n".join(f"::: naturalize.{name}" + OPTIONS.get(name, "") for name in names)


MADE = {"commands": commands, "functions": functions}


def on_page_markdown(markdown: str, **about: Any) -> str:
    """The page with what is made for it; called by mkdocs."""
    return re.sub(r"^<!-- made: (\w+) -->$", lambda mark: MADE[mark[1]](), markdown, flags=re.MULTILINE)
