"""Losses and errors of a task, against what they are by definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from naturalize.tasks import Classification, balanced_weights
from naturalize.warm_start import logistic_regression


def test_without_weights_the_loss_is_torchs():
    logits, labels = torch.randn(20, 5), torch.arange(20) % 5
    torch.testing.assert_close(
        Classification(5).loss(logits, labels), F.cross_entropy(logits, labels, label_smoothing=0.1)
    )


@pytest.mark.parametrize("counts", [(200, 8), (200, 6, 2, 1)])
def test_N01_a_network_that_knows_every_class_answers_it_under_balanced_weights(counts):
    labels = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    task = Classification(len(counts))
    task = replace(task, class_weights=balanced_weights(labels.numpy(), len(counts)))
    table = torch.zeros(len(counts), len(counts), requires_grad=True)  # logits of each class of image
    optimizer = torch.optim.LBFGS([table], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = task.loss(table[labels], labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert table.argmax(1).tolist() == list(range(len(counts)))
    smoothed = torch.eye(len(counts)) * 0.9 + 0.1 / len(counts)  # what smoothing asks of each, whatever its weight
    torch.testing.assert_close(table.detach().softmax(1), smoothed, atol=1e-3, rtol=0)


def test_N01_a_weight_counts_an_image_as_often():
    logits, labels = torch.randn(3, 3), torch.tensor([0, 1, 2])
    weighted = replace(Classification(3), class_weights=(3.0, 1.0, 2.0)).loss(logits, labels)
    rows = torch.tensor([0, 0, 0, 1, 2, 2])
    torch.testing.assert_close(weighted, Classification(3).loss(logits[rows], labels[rows]))


def test_N01_probes_with_balanced_weights_know_the_common_class_too():
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(np.repeat([0, 1], [200, 8]))
    features = torch.randn(208, 6, generator=generator) + 4.0 * F.one_hot(labels, 6)
    task = replace(Classification(2), class_weights=balanced_weights(labels.numpy(), 2))
    weight, bias = logistic_regression(task, features, labels)
    answers = (features @ weight.T + bias).argmax(1)
    assert float((answers != labels).double().mean()) < 0.05
