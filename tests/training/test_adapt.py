"""Training loops: extents, rates, one backward per forward, losses that are not finite. Rows T03 and T15."""

import math
import time
from functools import partial

import numpy as np
import pytest
import torch
from small_bench import CLASSES, Pictures, make_error, make_supernet, make_trainer, tensors

from naturalize.drawing import sandwich, uniform
from naturalize.errors import UserError
from naturalize.run.checkpoints import Checkpoints
from naturalize.supernet import make_family
from naturalize.tasks import Classification, balanced_weights
from naturalize.training.adapt import Extent, TrainingState, cosine, make_optimizer, warm_up


@pytest.fixture
def supernet():
    return make_supernet()


@pytest.fixture
def trainer(supernet):
    return make_trainer(supernet, Pictures(24))


def drawn(supernet):
    return lambda step: uniform(supernet.family.space, 0, step)


def test_T04_balanced_classes_count_the_same():
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    weights = balanced_weights(labels.numpy(), 3)
    logits = torch.zeros(100, 3)
    logits[:, 0] = 3.0  # as who always answers the most frequent class
    each = [float(Classification(3, 0.0).loss(logits[labels == c], labels[labels == c])) for c in range(3)]
    plain = float(Classification(3, 0.0).loss(logits, labels))
    assert plain == pytest.approx(np.average(each, weights=[90, 9, 1]), rel=1e-5)
    assert float(Classification(3, 0.0, weights).loss(logits, labels)) == pytest.approx(np.mean(each), rel=1e-5)


def quiet(state, loss, rate):
    pass


def test_T03_training_lowers_the_loss_and_takes_as_many_steps_as_asked(supernet, trainer):
    losses, rates = [], []
    state = TrainingState()

    def on_step(state, loss, rate):
        losses.append(loss)
        rates.append(rate)

    step = trainer.adaptation_step(drawn(supernet), 0)
    trainer.run(step, state, Extent(steps=100), cosine(0.0, 1.0, 0.05), on_step)
    assert state.step == len(losses) == 100
    assert 0 < np.mean(losses[-10:]) < np.mean(losses[:10])
    assert rates[0] == 0.05
    assert rates[-1] < 0.002
    assert rates == sorted(rates, reverse=True)


def test_an_extent_in_seconds_ends_by_the_clock_and_the_rate_follows_it(supernet, trainer):
    rates, state = [], TrainingState()
    start = time.perf_counter()
    step = trainer.adaptation_step(drawn(supernet), 0)
    trainer.run(step, state, Extent(seconds=2.0), cosine(0.0, 1.0, 0.05), lambda s, loss, rate: rates.append(rate))
    assert 2.0 <= time.perf_counter() - start < 6.0
    assert rates[-1] < rates[0]
    assert state.seconds >= 1.0


def test_R10_C8_a_training_that_goes_on_late_keeps_its_curve_and_ends_when_it_should():
    state = TrainingState(step=10, seconds=40.0)
    extent = Extent(seconds=100.0, until=230.0)
    late = extent.resumed(state, used_s=200.0)
    assert late.fraction(state) == extent.fraction(state) == 0.4
    assert late.pace == pytest.approx(2.0)
    assert extent.resumed(TrainingState(), used_s=200.0).pace == pytest.approx(100 / 30), "killed before the first save"
    assert extent.resumed(TrainingState(), used_s=130.0) == extent
    assert extent.resumed(state, used_s=999.0).pace == 60.0
    assert extent.resumed(state, used_s=100.0).pace == 1.0
    assert Extent(steps=5).resumed(state, 0.0) == Extent(steps=5)


def test_of_steps_and_seconds_what_passes_first_ends_a_training() -> None:
    both = Extent(steps=10, seconds=20.0)
    assert both.fraction(TrainingState(step=5, seconds=4.0)) == 0.5
    assert both.fraction(TrainingState(step=1, seconds=15.0)) == 0.75
    assert both.part(0.5, 1.0) == Extent(steps=5, seconds=10.0)


def test_a_warm_up_rises_to_the_curve():
    rate = warm_up(cosine(0.0, 0.5, 0.1), 0.1)
    assert 0 < rate(0.0) < 0.01
    assert rate(0.05) < rate(0.1)
    assert rate(0.5) == cosine(0.0, 0.5, 0.1)(0.5)


def test_a_sandwich_has_one_backward_for_each_forward_largest_first(supernet, trainer, monkeypatch):
    calls = []
    backward, forward = trainer.fabric.backward, supernet.forward
    monkeypatch.setattr(trainer.fabric, "backward", lambda loss: (calls.append("backward"), backward(loss)))
    monkeypatch.setattr(supernet, "forward", lambda x, arch, task="default": (calls.append(arch), forward(x, arch))[1])
    space = supernet.family.space
    trainer.sandwich_step(lambda step: sandwich(supernet.family, 0, step), 0)(0)
    smallest, largest = space.architectures(space.corners())
    assert [call == "backward" for call in calls] == [False, True] * 4
    assert calls[0] == largest
    assert calls[2] == smallest


def test_bodies_take_turns_in_a_sandwich():
    family = make_family("ofa-mbv3", 224)
    for step in range(4):
        archs = sandwich(family, 0, step)
        assert {arch.code[1] for arch in archs} == {step % 2}


def test_resuming_steps_goes_on_with_what_an_unbroken_training_draws(supernet):
    whole = make_trainer(supernet, Pictures(24))
    whole.run(whole.adaptation_step(drawn(supernet), 5), TrainingState(), Extent(steps=6), lambda f: 0.05, quiet)
    other = make_supernet()
    parts = make_trainer(other, Pictures(24))
    state = TrainingState()
    step = parts.adaptation_step(drawn(other), 5)
    parts.run(step, state, Extent(steps=3), lambda f: 0.05, quiet)
    parts.run(step, state, Extent(steps=6), lambda f: 0.05, quiet)
    for (name, one), two in zip(tensors(supernet).items(), tensors(other).values(), strict=True):
        assert torch.equal(one, two), name


def test_T15_a_huge_rate_stops_with_a_message_and_never_reaches_a_checkpoint(supernet, trainer, tmp_path):
    checkpoints = Checkpoints(tmp_path / "supernet")
    checkpoints.save(tensors(supernet), {}, {"version": 0, "complete": True})

    def save_every_step(state, loss, rate):
        checkpoints.save(supernet.state_dict(), {}, {"version": 0, "complete": False})

    step = trainer.adaptation_step(drawn(supernet), 0)
    with pytest.raises(UserError, match=r"diverged|not finite"):
        trainer.run(step, TrainingState(), Extent(steps=200), lambda fraction: 1e30, save_every_step)
    weights = checkpoints.load(checkpoints.latest())[0]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_T15_a_batch_that_is_not_finite_is_skipped_and_counted(supernet, trainer):
    good = trainer.adaptation_step(drawn(supernet), 0)

    def step(number):
        loss = good(number)
        return loss * math.inf if number == 1 else loss

    state = TrainingState()
    seen = []
    trainer.run(step, state, Extent(steps=3), lambda fraction: 0.01, lambda *_: seen.append(tensors(supernet)))
    assert (state.step, state.skipped, state.in_a_row) == (3, 1, 0)
    assert all(torch.equal(seen[0][name], seen[1][name]) for name in seen[0])
    assert any(not torch.equal(seen[1][name], seen[2][name]) for name in seen[0])
    assert all(torch.isfinite(tensor).all() for tensor in supernet.state_dict().values())


def test_T13_training_labels_alone_decide_what_is_learnt(supernet):
    """Those of training shuffled: errors at chance. Those of validation: the same, with the loss as before."""

    def error_after(train_labels=None):
        net = make_supernet()
        pictures = Pictures(32, 0, train_labels)
        trainer = make_trainer(net, pictures)
        losses = []
        step = trainer.adaptation_step(drawn(net), 0)
        trainer.run(
            step, TrainingState(), Extent(steps=160), cosine(0, 1, 0.05), lambda s, loss, r: losses.append(loss)
        )
        errors = [
            make_error(net, pictures, Pictures(30, 1, labels)).measure(net.family.space.corners()[1:]).values[0]
            for labels in (None, shuffled[:30])
        ]
        return float(np.mean(losses[-10:])), *errors

    shuffled = np.random.default_rng(0).integers(0, 3, 32)
    loss, error, error_of_shuffled = error_after()
    assert error < 20
    assert error_of_shuffled > 40
    worse_loss, worse_error, _ = error_after(train_labels=shuffled)
    assert worse_loss > loss
    assert worse_error > 40


def test_norms_that_keep_their_statistics_train_all_else_by_adamw(supernet):
    trainer = make_trainer(supernet, Pictures(30), 10)
    adaptive = make_optimizer(supernet, 1e-3, adaptive=True)
    trainer.optimizer, trainer.keeps_statistics = trainer.fabric.setup_optimizers(adaptive), True
    before = tensors(supernet)
    losses = []
    step = trainer.adaptation_step(lambda number: supernet.family.space.largest, 0)
    trainer.run(
        step, TrainingState(), Extent(steps=40), lambda done: 1e-3, lambda state, loss, rate: losses.append(loss)
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    changed = {name for name, tensor in tensors(supernet).items() if not torch.equal(tensor, before[name])}
    assert any(name.endswith("gamma") for name in changed)
    assert not any("running" in name or name.endswith(("mean_shift", "var_factor")) for name in changed)


def test_heads_may_learn_faster_than_bodies(supernet, trainer):
    """With SGD and without momentum, the first step of a head is three times as long, and the body's the same."""

    def steps_of(head):
        before = tensors(supernet)
        optimizer = make_optimizer(supernet, 0.0, head=head)
        for group in optimizer.param_groups:
            group.update(momentum=0.0, nesterov=False)
        trainer.optimizer = trainer.fabric.setup_optimizers(optimizer)
        step = trainer.adaptation_step(lambda number: supernet.family.space.largest, 0)
        trainer.run(step, TrainingState(), Extent(steps=1), lambda done: 0.1, quiet)
        moved = {name: tensor - before[name] for name, tensor in tensors(supernet).items()}
        supernet.load_state_dict(before)
        return moved

    slow, fast = steps_of(1.0), steps_of(3.0)
    assert max(float(step.abs().max()) for step in slow.values()) > 0
    for name, step in slow.items():
        torch.testing.assert_close(fast[name], step * (3 if name.startswith("heads") else 1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["sandwich", "distilled"])
def test_C4b_one_network_of_a_step_without_finite_gradients_leaves_the_weights_as_they_were(
    supernet, trainer, monkeypatch, kind
):
    """The first that learns from a teacher; the loss of the last one, which is told, is finite."""
    calls, space = [], supernet.family.space

    def poisoned(self, logits, teacher):
        calls.append(1)
        return logits.sum() * (math.inf if len(calls) % (3 if kind == "sandwich" else 2) == 1 else 0.0)

    monkeypatch.setattr(Classification, "distillation_loss", poisoned)
    before = tensors(supernet)
    state = TrainingState()
    step = trainer.sandwich_step(lambda number: sandwich(supernet.family, 0, number), 0)
    if kind == "distilled":
        two = [space.largest, space.largest]
        step = trainer.distilled_step(lambda number: two, 0, lambda images: torch.zeros(len(images), CLASSES))
    trainer.run(step, state, Extent(steps=3), lambda done: 0.1, lambda *told: None)
    assert calls
    assert state.skipped == 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(supernet).items())


@pytest.mark.parametrize("kind", ["adaptation", "sandwich", "distilled"])
def test_D5_a_step_in_mixed_precision_is_nearly_that_of_float32(kind):
    def trained(precision):
        supernet = make_supernet()
        trainer = make_trainer(supernet, Pictures(24), precision=precision)
        draw = drawn(supernet)
        several = {
            "sandwich": partial(sandwich, supernet.family, 0),
            "distilled": lambda step: supernet.family.space.architectures(
                supernet.family.space.corners()[1:].repeat(2, 0)
            ),
        }
        step = {
            "adaptation": lambda: trainer.adaptation_step(draw, 0),
            "sandwich": lambda: trainer.sandwich_step(several["sandwich"], 0),
            "distilled": lambda: trainer.distilled_step(several["distilled"], 0, lambda images: torch.ones(8, CLASSES)),
        }[kind]()
        loss = float(step(0))
        return loss, {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}

    (loss, gradients), (mixed_loss, mixed) = trained("32-true"), trained("bf16-mixed")
    assert mixed_loss == pytest.approx(loss, rel=0.05)
    assert mixed.keys() == gradients.keys()
    assert all(gradient.dtype == torch.float32 for gradient in mixed.values())
    ours, theirs = (torch.cat([g.flatten() for g in each.values()]) for each in (mixed, gradients))
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.95
