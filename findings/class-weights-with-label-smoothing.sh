#!/bin/sh
# torch 2.13.0: cross_entropy(weight=..., label_smoothing=...) can have its minimum at the wrong class.
#
# The smoothed part of the loss is weighted by the weights of the *other* classes, not by that of the image's own class.
# With 10 classes, smoothing 0.1 and one class 100 times as rare as the others (balanced weights, so 100 times as
# heavy), the loss of an image of a common class is least where the rare class has most of the probability: a network
# that learns perfectly answers the rare class for everything, and says so with a falling loss.
#
# Seen: "common image: 0.50 on the rare class, 0.45 on its own"; without smoothing its own class has everything.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import torch
from torch.nn.functional import cross_entropy

weight = torch.ones(10)
weight[9] = 100.0
label = torch.tensor([0])


def best(smoothing):
    """The probabilities that minimise the loss of one image of class 0, by gradient descent on its logits."""
    logits = torch.zeros(1, 10, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(logits, label, weight=weight, label_smoothing=smoothing)
        loss.backward()
        return loss

    optimizer.step(closure)
    return logits.softmax(1)[0]


smoothed, plain = best(0.1), best(0.0)
print(f"torch {torch.__version__}; common image: {smoothed[9]:.2f} on the rare class, {smoothed[0]:.2f} on its own")
print(f"without smoothing: {plain[9]:.2f} on the rare class, {plain[0]:.2f} on its own")
assert int(smoothed.argmax()) == 9, "the minimum is at the right class by now"
assert int(plain.argmax()) == 0
PY
