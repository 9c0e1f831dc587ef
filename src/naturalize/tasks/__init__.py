"""What is learnt: head, loss, metric. A run holds its tasks by name; today there is one, `default`."""

from naturalize.tasks.classification import Classification, balanced_weights, majority_error

__all__ = ["Classification", "balanced_weights", "majority_error"]
