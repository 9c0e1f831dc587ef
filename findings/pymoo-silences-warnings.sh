#!/bin/sh
# pymoo 0.6.2: one run of NSGA-III switches off the warnings of the whole process, and leaves them off.
#
# Its normalisation calls warnings.simplefilter("ignore") outside of a catch_warnings block whenever the extreme points
# span a hyperplane. From then on a caller's own DeprecationWarnings, and NumPy's division by zero, say nothing.
#
# Seen: "before: 1 warning; after: 0".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pymoo==0.6.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import subprocess
import sys

PROGRAM = """
import sys, warnings
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

if sys.argv[1] == "after":
    directions = get_reference_directions("das-dennis", 3, n_partitions=6)
    minimize(get_problem("dtlz2"), NSGA3(directions), ("n_gen", 30), seed=1)
warnings.warn("a warning of the caller's own")
"""
told = {}
for when in ("before", "after"):
    done = subprocess.run([sys.executable, "-c", PROGRAM, when], capture_output=True, text=True, check=True)
    told[when] = done.stderr.count("a warning of the caller's own")
print(f"before: {told['before']} warning; after: {told['after']}")
assert told == {"before": 1, "after": 0}
PY
