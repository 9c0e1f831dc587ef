"""The site builds without a warning, and its pages ask nothing of anyone: they open without a network."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer.main
from pages import ROOT

from naturalize.cli import app

LOADS = {"script": "src", "link": "href", "img": "src", "source": "srcset", "iframe": "src", "object": "data"}
HARMLESS = {"canonical", "next", "prev", "alternate"}  # what a link says, without loading it


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if importlib.util.find_spec("material") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("mkdocs-material and mkdocstrings are not installed: `make docs` installs them")
    to = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(to)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return to


class Loaded(HTMLParser):
    """Addresses that a page loads as it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get(LOADS.get(tag, ""))
        if address and found.get("rel") not in HARMLESS:
            self.addresses.append(address)
        self.addresses += addresses_of_style(found.get("style") or "")


def addresses_of_style(text: str) -> list[str]:
    """What a style loads."""
    return re.findall(r"""(?:url\(|@import )["']?([^"')]+)""", text)


def test_no_page_loads_anything_from_outside(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        reader = Loaded()
        text = page.read_text(encoding="utf-8")
        reader.feed(text)
        for style in re.findall(r"<style.*?>(.*?)</style>", text, re.DOTALL):
            reader.addresses += addresses_of_style(style)
        assert reader.addresses, page
        outside = [address for address in reader.addresses if re.match(r"(?:\w+:)?//", address)]
        assert not outside, f"{page.relative_to(site)} loads {outside}"
        inside = [address for address in reader.addresses if not address.startswith(("data:", "#"))]
        missing = [address for address in inside if not (page.parent / address.partition("?")[0]).exists()]
        assert not missing or page.name == "404.html", f"{page.relative_to(site)} misses {missing}"


def test_no_style_and_no_picture_loads_anything_from_outside(site: Path) -> None:
    files = [path for suffix in ("css", "svg") for path in site.rglob(f"*.{suffix}")]
    assert files
    for path in files:
        found = addresses_of_style(path.read_text(encoding="utf-8"))
        assert not [address for address in found if re.match(r"(?:\w+:)?//", address)], path


def test_all_commands_and_functions_are_there(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f'id="naturalize-{name}"' in commands
    functions = (site / "reference" / "functions.html").read_text(encoding="utf-8")
    for name in ("transfer", "export", "predict", "Run", "Run.best"):
        assert f'id="naturalize.{name}"' in functions


def test_the_search_needs_no_network(site: Path) -> None:
    assert (site / "search" / "search_index.js").stat().st_size > 10_000
    assert "iframe-worker.js" in (site / "index.html").read_text(encoding="utf-8")
