"""Answers by their probability: what is left above a threshold."""

import numpy as np
import pytest

from naturalize.tasks.confidence import above, confidence_of


def test_shares_above_a_threshold_are_those_of_the_answers():
    draw = np.random.default_rng(0)
    probability = draw.random(2000).astype(np.float32)
    wrong = draw.random(2000) > probability
    kept = confidence_of(probability, wrong)
    for threshold in (0.0, 0.29, 0.5, 0.57, 0.9):
        left = np.floor(100 * probability.astype(np.float64)) >= round(100 * threshold)
        assert above(kept, threshold) == pytest.approx((100 * np.mean(~left), 100 * np.mean(wrong[left])))


def test_a_certain_answer_is_counted_and_nothing_is_above_one():
    kept = confidence_of(np.array([1.0, 0.0, 0.995]), np.array([False, True, True]))
    assert sum(kept["images"]) == 3
    assert above(kept, 0.99) == pytest.approx((100 / 3, 50.0))
    assert above(kept, 1.0) == (100.0, None)
