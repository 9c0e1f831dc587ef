"""What docs/search.md shows runs as it stands, block after block."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


def test_the_examples_run_by_copy_and_paste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len((tmp_path / "cups.csv").read_text().splitlines()) == 61  # a header and 60 evaluations
    printed = capsys.readouterr().out
    assert "auto [" in printed
    assert "nsga3 [" in printed
