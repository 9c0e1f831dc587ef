from pathlib import Path

import pytest
from pictures import Fx, fx


@pytest.fixture(name="fx")
def fx_fixture(tmp_path: Path) -> Fx:
    """`fx` below the test's own folder."""
    return lambda root, number, *classes: fx(tmp_path / root, number, *classes)
