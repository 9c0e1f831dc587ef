#!/bin/sh
# submitit 1.5.4: its executors have `submit`, as those of concurrent.futures have, but what that gives is no Future:
# concurrent.futures.wait fails on it, after the job was submitted.
#
# Its README says that one can swap its executors with those of concurrent.futures in a line. A program that takes "any executor of concurrent.futures" has to look
# at the class of the first future, and to poll `done()` where it is another one.
#
# Seen: "AttributeError: 'LocalJob' object has no attribute '_condition'; the job itself gives 25".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet submitit==1.5.4
cd "$work"
"$work/venv/bin/python" - <<'PY'
from concurrent.futures import wait

import submitit

executor = submitit.LocalExecutor(folder="jobs")
executor.update_parameters(timeout_min=2)
job = executor.submit(pow, 5, 2)
try:
    wait([job])
    told = "wait works"
except AttributeError as error:
    told = f"AttributeError: {error}"
told += f"; the job itself gives {job.result()}"
print(told)
assert told == "AttributeError: 'LocalJob' object has no attribute '_condition'; the job itself gives 25", told
PY
