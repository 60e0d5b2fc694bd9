"""Operations and bytes of training steps: by hand, by the library's counters, fake and real."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mi2p.model_spec import Modality
from mi2p.models.classifier import Batch, Classifier
from mi2p.models.measuring import (
    Meter,
    attention_of_gpus,
    fused_attention,
    kept_in_bfloat16,
    measured,
    state_of,
    tensors_of,
)
from tests.tiny_models import batch_of, model_of

B, N, M, K = 5, 8, 32, 3
LOSS = 4
"""Bytes of the loss itself."""


class Toy(Classifier):
    """Some net on words; nothing of it is called pretrained."""

    def __init__(self, *net: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*net)

    def forward(self, batch: Batch) -> Tensor:
        logits: Tensor = self.net(batch.words)
        return logits

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {}


def two_layers() -> Toy:
    return Toy(nn.Linear(N, M), nn.ReLU(), nn.Linear(M, K))


def test_a_step_of_two_layers_by_hand() -> None:
    found = measured(two_layers(), Batch(words=torch.rand(B, N)))
    first, second = 2 * B * N * M, 2 * B * M * K
    kept = 4 * B * M + LOSS  # what is behind the ReLU; the words are of the batch
    assert found.forward_flops == first + second
    # Gradients of two weights and of what is between them, but not of the words.
    assert found.step_flops == 2 * first + 3 * second
    assert found.kept == kept
    # When the gradient behind the ReLU is there: those of the logits and of both parameters of
    # the second layer are no more, or were added to what there was.
    assert found.peak >= kept + 4 * B * M


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_operations_of_convolutions_by_hand(groups: int) -> None:
    first = nn.Conv2d(3, 4, 1)
    toy = Toy(first, nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups), nn.Flatten())
    found = measured(toy, Batch(words=torch.rand(B, 3, 6, 6)))
    one, other = 2 * B * 6 * 6 * 3 * 4, 2 * B * 3 * 3 * (4 // groups) * 8 * 3 * 3
    assert found.forward_flops == one + other
    assert found.step_flops == 2 * one + 3 * other


def test_operations_of_a_transposed_convolution_by_hand() -> None:
    toy = Toy(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 2, stride=2), nn.Flatten())
    found = measured(toy, Batch(words=torch.rand(B, 3, 5, 5)))
    one, other = 2 * B * 5 * 5 * 3 * 4, 2 * B * 5 * 5 * 4 * 6 * 2 * 2
    assert found.forward_flops == one + other
    assert found.step_flops == 2 * one + 3 * other


def test_frozen_weights_have_no_gradient_to_count() -> None:
    toy = two_layers()
    toy.net[0].requires_grad_(False)
    found = measured(toy, Batch(words=torch.rand(B, N)))
    assert found.step_flops == 2 * B * N * M + 2 * (2 * B * M * K)


@pytest.mark.parametrize("name", ["cnn", "bert", "cnn/resnet-xlnet", "vilt", "me_bert"])
def test_operations_are_those_of_the_librarys_counter(name: str) -> None:
    # No network here has grouped convolutions, of which it is wrong.
    stored = ("maps",) if name == "me_bert" else ()
    batch = tiny_batch(name)
    with FlopCounterMode(display=False) as counter:
        torch.stack([x.sum() for x in model_of(name, stored=stored).supervised(batch)]).sum()
    assert measured(model_of(name, stored=stored), batch).forward_flops == (
        counter.get_total_flops()
    )
    with counter:
        model_of(name, stored=stored)(batch).sum().backward()
    assert measured(model_of(name, stored=stored), batch).step_flops == counter.get_total_flops()


@pytest.mark.parametrize("name", ["cnn", "bert", "cnn/clip", "bert/clip", "vilt", "mmbt"])
def test_what_is_kept_is_what_autograd_saves(name: str) -> None:
    model, batch = model_of(name).train(), tiny_batch(name)
    known = {x.untyped_storage().data_ptr() for x in (*state_of(model), *tensors_of(batch))}
    saved = weakref.WeakSet[Saved]()

    def pack(tensor: Tensor) -> Saved:
        saved.add(one := Saved(tensor.detach()))  # an output would hold itself
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        loss = model(batch).sum()
    assert loss.requires_grad
    # BERT computes a pooled feature for nobody: not all that was saved is there still.
    storages = {one.tensor.untyped_storage().data_ptr(): one.tensor for one in saved}
    found = sum(x.untyped_storage().nbytes() for k, x in storages.items() if k not in known)
    kept = measured(model_of(name), batch).kept
    assert found + LOSS <= kept <= found + LOSS + 100  # numbers that others than autograd hold


class Saved:
    """What autograd refers to in place of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


EVERY = ["cnn", "bert/resnet-xlnet", "bert/clip", "me_cnn", "me_bert", "pixelbert", "visualbert"]
EVERY += ["vilt", "fusion-cross_attention", "fusion-cbp"]


@pytest.mark.parametrize("name", EVERY)
def test_fake_tensors_give_the_numbers_of_real_ones(name: str) -> None:
    stored = ("words", "maps")
    expected = measured(model_of(name, stored=stored), tiny_batch(name))
    model = model_of(name, stored=stored).to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = measured(model.to_empty(device="cpu"), tiny_batch(name).map(mode.from_tensor))
    assert found == expected


def tiny_batch(name: str) -> Batch:
    """What the model reads, features of frozen encoders among it."""
    batch = batch_of()
    batch.labels = None
    if name.startswith(("me_", "visualbert")):
        batch.words, batch.maps = torch.rand(4, 6, 48), torch.rand(4, 32, 2, 2)
    return batch


def test_storages_are_counted_while_they_are_referred_to() -> None:
    given = torch.zeros(100)
    with Meter([given]) as meter:
        one = torch.ones(10)
        assert (meter.held, meter.peak) == (40, 40)
        view = one.view(2, 5).T
        given.add_(1)
        assert meter.held == 40  # each once, and not what was there before
        other = view + 1
        assert (meter.held, meter.peak) == (80, 80)
        del one, other
        assert meter.held == 40  # the view is left
        del view
        assert (meter.held, meter.peak) == (0, 80)


def test_gradients_and_the_step_leave_nothing_behind() -> None:
    model = model_of("cnn").train()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with Meter(state_of(model)) as meter:
        model(batch_of()).sum().backward()
    assert meter.held == 0 < meter.peak


def test_what_bfloat16_keeps_by_hand() -> None:
    toy = two_layers().to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):
        found = kept_in_bfloat16(toy.to_empty(device="cuda"), Batch(words=torch.rand(B, N)))
    # In 2 bytes: the words, what is behind the ReLU, and the weight that its gradient needs.
    assert found == 2 * (B * N + B * M + M * K) + LOSS
    assert not torch.is_autocast_enabled("cuda")


def test_attention_of_gpus_keeps_no_weights() -> None:
    own = F.scaled_dot_product_attention

    def kept(length: int) -> int:
        with FakeTensorMode():
            shape = (2, 4, length, 8)
            q, k, v = (torch.zeros(shape, requires_grad=True) for _ in range(3))
            mask = torch.ones(2, 1, 1, length, dtype=torch.bool)
            with attention_of_gpus(), Meter([q, k, v, mask]) as meter:
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=0.1)
                assert F.scaled_dot_product_attention is fused_attention
                assert out.shape == shape
                held: int = meter.held
            return held

    # Per word of each text and head: 8 numbers of the result, the logarithm of the softmax's
    # denominator; per word of a text the mask as a number. And two of the random state.
    assert [kept(n) for n in (64, 128)] == [2 * n * (4 * (8 + 1) + 1) * 4 + 16 for n in (64, 128)]
    assert F.scaled_dot_product_attention is own
