"""MATLAB's files, of which SciPy's reader is asked in a process of its own: damaged ones crash it.

Of 8,242 that were damaged at random, 57 crashed it, and two took gigabytes and did not end.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from naturalize.errors import UserError

PATIENCE_S = 30.0  # for what takes one
CODE = """
import json, os, sys, warnings
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each would reserve memory
from scipy.io import loadmat
if sys.platform != "win32":
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
warnings.simplefilter("ignore")
path, *names = sys.argv[1:]
held = loadmat(path, simplify_cells=True, variable_names=names)
json.dump({name: held[name] for name in names if name in held}, sys.stdout, default=lambda value: value.tolist())
"""


def variables(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Variables of a file, as JSON has them: arrays and cells are lists, structures dictionaries.

    Raises:
        UserError: the file is missing, damaged, of MATLAB 7.3 (which is HDF5), or lacks one of the variables.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing, a part of its data set: unpack all of it")
    damaged = UserError(f"{path} cannot be read as a MATLAB file of version 4 to 7.2: unpack it again")
    try:
        command = [sys.executable, "-P", "-c", CODE, str(path), *names]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
        held = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise damaged from error
    if lacking := [name for name in names if name not in held]:
        raise UserError(f"{path} has no variable {lacking[0]}: it is another file than it should be")
    return held


def whole_numbers(path: Path, name: str, values: Any, highest: int) -> list[int]:
    """Values that should be numbers from 1 to `highest`. Raises `UserError` for others, by file and name."""
    listed = values if isinstance(values, list) else [values]
    for value in listed:
        if not (isinstance(value, int | float) and 1 <= value <= highest and value == int(value)):
            raise UserError(f"{path} holds {str(value)[:40]} among {name}, which go from 1 to {highest}")
    return [int(value) for value in listed]
