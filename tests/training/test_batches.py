"""Which images a step trains on. Rows T01 and T03 of the cases."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from naturalize.training.batches import Batches
from naturalize.workbench import batch_size


@given(st.integers(2, 16), st.integers(1, 12), st.integers(0, 3), st.integers(0, 5))
def test_T01_every_image_once_an_epoch_and_no_batch_below_its_size(size, k, more, epoch):
    n = k * size + more
    batches = Batches(n, size, seed=1)
    epochs = [batches.rows(epoch * batches.per_epoch + place) for place in range(batches.per_epoch)]
    assert sorted(np.concatenate(epochs).tolist()) == list(range(n))
    assert min(map(len, epochs)) >= size >= 2
    assert max(map(len, epochs)) < 2 * size


@given(st.integers(1, 100))
def test_T03_fewer_images_than_a_batch_make_one_batch(n):
    batches = Batches(n, batch_size(n), seed=0)
    assert batches.per_epoch >= 1
    assert sum(len(batches.rows(step)) for step in range(batches.per_epoch)) == n


def test_epochs_differ_and_the_same_step_is_the_same_batch():
    batches = Batches(20, 20, seed=3)
    assert batches.rows(0).tolist() != batches.rows(1).tolist()
    assert batches.rows(1).tolist() == Batches(20, 20, seed=3).rows(1).tolist()
    assert batches.rows(1).tolist() != Batches(20, 20, seed=4).rows(1).tolist()
