"""A step of training against the same by hand."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest
import torch

from mi2p.models.blueprint import Untrained
from mi2p.models.describing import architecture
from mi2p.spec import TrainSpec
from mi2p.steps import Learner, epoch_batches, loss, make_optimiser, step
from tests.tiny_models import batch_of, model_of, snapshot, spec_of


def sizes_of(train: TrainSpec, count: int) -> list[list[int]]:
    batches = epoch_batches(train, np.arange(count))
    # Every row once, in its order.
    assert np.concatenate([np.concatenate(parts) for parts in batches]).tolist() == [*range(count)]
    return [[len(part) for part in parts] for parts in batches]


def test_an_epoch_is_cut_into_equal_batches_and_these_into_equal_parts() -> None:
    assert sizes_of(TrainSpec(lr=1, epochs=1, batch_size=16), 33) == [[11], [11], [11]]
    assert sizes_of(TrainSpec(lr=1, epochs=1, batch_size=16), 5) == [[5]]
    cut = TrainSpec(lr=1, epochs=1, batch_size=16, micro_batch=6)
    assert sizes_of(cut, 32) == [[6, 5, 5], [6, 5, 5]]
    assert sizes_of(cut, 6) == [[6]]


def test_parts_of_a_batch_have_its_gradient_and_the_sum_of_its_losses() -> None:
    spec, batch = spec_of("bert"), batch_of()
    moved, losses = [], []
    for cuts in ([slice(0, 4)], [slice(0, 3), slice(3, 4)]):
        model = model_of("bert", dropout=0).eval()
        parts = [batch.map(itemgetter(cut)) for cut in cuts]
        sizes = [cut.stop - cut.start for cut in cuts]
        losses.append(
            step(Learner(model), make_optimiser(model, spec), parts, sizes=sizes, where="")
        )
        moved.append({name: p.grad for name, p in model.named_parameters()})
    model = model_of("bert", dropout=0).eval()
    assert batch.labels is not None
    own = torch.nn.functional.cross_entropy(model(batch), batch.labels, reduction="sum")
    assert losses == pytest.approx([own.item()] * 2, rel=1e-5)
    whole, in_parts = moved
    for name, gradient in whole.items():
        assert gradient is not None
        torch.testing.assert_close(in_parts[name], gradient, atol=1e-6, rtol=1e-4)


def test_a_bad_loss_says_where_it_was_and_moves_nothing() -> None:
    model = model_of("cnn")
    optimiser = make_optimiser(model, spec_of("cnn"))
    with torch.no_grad():
        next(model.trained_parameters()).fill_(torch.nan)
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(FloatingPointError, match="loss is nan at epoch 3"):
        step(Learner(model), optimiser, [batch_of()], sizes=[4], where="epoch 3")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name], equal_nan=True, rtol=0, atol=0)


def test_the_optimiser_of_a_model_without_values_is_that_of_the_real_one() -> None:
    spec = spec_of("me_cnn", lr_multiplier=10)
    blueprint = Untrained(spec=spec, num_classes=3, multilabel=False, stored=frozenset())
    planned, real = (
        [(group["lr"], len(group["params"])) for group in make_optimiser(m, spec).param_groups]
        for m in (architecture(blueprint), model_of("me_cnn", lr_multiplier=10))
    )
    assert planned == real and {lr for lr, _ in real} == {1e-3, 1e-2}


def test_the_step_is_adams() -> None:
    model, spec = model_of("cnn", dropout=0), spec_of("cnn")
    before = snapshot(model)
    step(Learner(model.eval()), make_optimiser(model, spec), [batch_of()], sizes=[4], where="")
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        # Its first step goes by the rate, whatever the size of the gradient.
        wanted = before[name] - spec.train.lr * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), wanted, atol=1e-6, rtol=1e-4)


def test_several_labels_use_binary_cross_entropy() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    labels = torch.tensor([[1.0, 0.0]])
    # -log(1/2) and -log(1 - sigmoid(2)), averaged.
    assert loss(logits, labels).item() == pytest.approx((0.693147 + 2.126928) / 2, 1e-5)
