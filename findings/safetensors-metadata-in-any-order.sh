#!/bin/sh
# safetensors 0.8.0: the same tensors and the same metadata give files of other bytes, where the metadata have two keys.
#
# Entries of __metadata__ are written in the order of a hash map with a random seed, anew for every call. Comparing or
# hashing files to tell whether weights changed tells nothing then; with one key the bytes are always the same.
#
# Seen: "two keys: 2 different files of 40; one key: 1".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet safetensors==0.8.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from safetensors.numpy import save

tensors = {"weight": np.zeros(4, np.float32)}
two = {save(tensors, {"version": "3", "checksum": "abc"}) for _ in range(40)}
one = {save(tensors, {"version": "3"}) for _ in range(40)}
print(f"two keys: {len(two)} different files of 40; one key: {len(one)}")
assert len(two) == 2
assert len(one) == 1
PY
