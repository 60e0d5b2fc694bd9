"""Activation checkpointing: the same bits, from less that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from mi2p.backbones import VISUAL, visual_card
from mi2p.model_spec import Modality
from mi2p.models import memory
from mi2p.models.classifier import Batch, Classifier
from mi2p.models.memory import checkpoint_activations, parts
from mi2p.models.textual import build_textual
from mi2p.models.visual import build_visual
from tests.tiny_models import BACKBONES, KINDS, batch_of, model_of, same, snapshot

UNIMODAL = [
    f"{name}/{pair}" for name in ("cnn", "bert", "me_cnn", "me_bert") for pair in BACKBONES
]
JOINT = [
    *(f"fusion-{kind}" for kind in KINDS),
    "me_fusion-score",
    "me_fusion-concat/resnet-xlnet",
    "me_fusion-cross_attention/clip",
    "centralnet",
    "mmbt",
    "pixelbert",
    "visualbert",
    "vilt",
]
STEPS = 3


def steps(model: Classifier, count: int = STEPS) -> list[dict[str, Tensor]]:
    """Of `count` steps of Adam: losses, the last gradients, the state, the random state."""
    batch, losses = batch_of(), []
    assert batch.labels is not None
    optimiser = torch.optim.Adam(list(model.trained_parameters()), lr=1e-2)
    model.train()
    torch.manual_seed(5)  # dropout
    for _ in range(count):
        optimiser.zero_grad()
        supervised = model.supervised(batch)
        loss = torch.stack([nn.functional.cross_entropy(x, batch.labels) for x in supervised])
        loss.sum().backward()
        optimiser.step()
        losses.append(loss.detach())
    gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    others = {"losses": torch.stack(losses), "random": torch.get_rng_state()}
    return [gradients, snapshot(model), others]


@pytest.mark.parametrize("name", [*UNIMODAL, *JOINT])
def test_the_same_bits(name: str) -> None:
    plain, model = model_of(name, dropout=0.3), model_of(name, dropout=0.3)
    checkpoint_activations(model)
    for found, expected in zip(steps(model), steps(plain), strict=True):
        assert len(expected) > 0 and same(found, expected)


@pytest.mark.parametrize("name", [*UNIMODAL, "me_fusion-score", "mmbt", "visualbert", "vilt"])
def test_less_is_kept_for_the_backward_pass(name: str) -> None:
    plain, model = model_of(name), model_of(name)
    checkpoint_activations(model)
    most = kept(plain, batch_of())
    # Heads and fusion keep what they did.
    assert 0 < kept(model, batch_of()) < 0.55 * most


def kept(model: Classifier, batch: Batch) -> int:
    """Bytes of the storages that autograd saves, each once, weights and the batch aside."""
    own = [*model.parameters(), *model.buffers()]
    batch.map(lambda tensor: own.append(tensor) or tensor)  # type: ignore[func-returns-value]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model.train().supervised(batch)
    assert all(logits.requires_grad for logits in result)
    return sum(x.untyped_storage().nbytes() for key, x in saved.items() if key not in known)


class Layer(nn.Module):
    """For B rows of 8 numbers autograd keeps 8 B of its input and 32 B behind its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x).relu())
        return out


class Net(nn.Module):
    """A wrapper around layers, as libraries have them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Toy(Classifier):
    """Two layers and a head on words (B, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.head = nn.Linear(8, 3)

    def forward(self, batch: Batch) -> Tensor:
        logits: Tensor = self.head(self.net(batch.words))
        return logits

    def backbones(self) -> Mapping[Modality, nn.Module]:
        return {"textual": self.net}


def test_what_is_kept_by_hand() -> None:
    toy, batch = Toy(), Batch(words=torch.rand(5, 8))
    # Rows of 4-byte numbers: behind two ReLUs, and into the second layer and the head.
    assert kept(toy, batch) == 5 * (2 * 32 + 2 * 8) * 4
    checkpoint_activations(toy)
    assert kept(toy, batch) == 5 * (2 * 8) * 4


def test_batchnorm_counts_a_step_once() -> None:
    model = model_of("cnn")
    checkpoint_activations(model)
    steps(model, 2)
    counts = [v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")]
    assert len(counts) > 10 and {int(count) for count in counts} == {2}


def test_a_second_backward_pass_leaves_statistics_alone_too() -> None:
    model = model_of("cnn")
    checkpoint_activations(model)
    loss = model.train()(batch_of()).sum()
    before = {k: (v, v.clone()) for k, v in model.named_buffers()}
    loss.backward(retain_graph=True)
    loss.backward()
    after = dict(model.named_buffers())
    assert all(after[k] is v and torch.equal(v, copy) for k, (v, copy) in before.items())


def test_micro_batches_may_go_forward_before_any_goes_backward() -> None:
    plain, model = model_of("cnn"), model_of("cnn")
    checkpoint_activations(model)
    halves = [batch_of().map(lambda x: x[:2]), batch_of().map(lambda x: x[2:])]
    for each in (plain, model):
        torch.manual_seed(1)
        each.train()
        torch.stack([each(half).square().sum() for half in halves]).sum().backward()
    gradients = [{k: p.grad for k, p in m.named_parameters()} for m in (plain, model)]
    assert same(gradients[0], gradients[1])  # type: ignore[arg-type]
    assert same(snapshot(plain), snapshot(model))


@pytest.mark.parametrize("name", ["cnn", "bert", "me_cnn"])
def test_nothing_is_done_without_gradients_or_in_evaluation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("checkpointed")

    plain, model = model_of(name), model_of(name)
    checkpoint_activations(model)
    monkeypatch.setattr(memory, "checkpoint", never)
    assert torch.equal(model.eval()(batch_of()), plain.eval()(batch_of()))
    with torch.no_grad():
        model.train()(batch_of())
    with pytest.raises(AssertionError, match="checkpointed"):
        model(batch_of())


@pytest.mark.parametrize("name", ["me_cnn", "me_bert", "me_fusion-concat"])
def test_units_run_once_and_frozen_encoders_are_left_alone(name: str) -> None:
    model, calls = model_of(name), list[str]()
    before = set(model.state_dict())
    checkpoint_activations(model)
    assert set(model.state_dict()) == before
    for modality, units in model.units().items():
        for tap, unit in units.items():
            unit.register_forward_hook(lambda *_, at=f"{modality}{tap}": calls.append(at))
    model.train()(batch_of()).sum().backward()
    assert len(calls) == sum(len(units) for units in model.units().values()) == len(set(calls))
    for external in model.externals().values():
        assert not any("forward" in vars(module) for module in external.modules())
    changed = [m for m in model.modules() if "forward" in vars(m)]
    own = [part for backbone in model.backbones().values() for part in parts(backbone)]
    own += [unit for units in model.units().values() for unit in units.values()]
    assert {id(m) for m in changed} <= {id(m) for m in own}
    assert all("forward" in vars(u) for units in model.units().values() for u in units.values())


# Blocks of the published networks and, where they have such, the rows before and behind them.
PARTS = {
    "densenet121": 1 + (6 + 12 + 24 + 16) + 3 + 1,
    "resnet50": 1 + (3 + 4 + 6 + 3),
    "resnet50_clip": 1 + (3 + 4 + 6 + 3),
    "efficientnet_lite0": 1 + (1 + 2 + 2 + 3 + 3 + 4 + 1) + 1,
    "timm:resnet10t": 2 + 4,  # a stem of several convolutions, and what is behind it
    "tiny_densenet": 1 + 4 * 2 + 3 + 1,
}


@pytest.mark.parametrize("name", [*PARTS, *sorted(VISUAL.keys() - PARTS.keys())])
def test_parts_of_a_cnn_hold_each_of_its_parameters_once(name: str) -> None:
    visual_card(name)  # of a network of timm it is read off real values
    with torch.device("meta"):
        backbone = build_visual(name)
    found = list(parts(backbone))
    held = [id(p) for part in found for p in part.parameters()]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())
    assert len(found) == PARTS.get(name, len(found))


@pytest.mark.parametrize(
    ("name", "layers"), [("bert-base-uncased", 12), ("xlnet-base-cased", 12), ("clip_text", 12)]
)
def test_parts_of_a_transformer_are_its_layers(name: str, layers: int) -> None:
    with torch.device("meta"):
        backbone = build_textual(name)
    assert list(parts(backbone)) == list(backbone.layers())
    assert len(list(parts(backbone))) == layers


def test_an_input_that_changes_before_its_part_runs_again_is_an_error() -> None:
    toy = Toy()
    checkpoint_activations(toy)
    x = torch.rand(2, 8, requires_grad=True) * 1
    out = toy.net.layers[0](x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize(
    "name", ["timm:mobilenetv3_small_050", "timm:test_convnext", "timm:resnet10t"]
)
def test_any_chain_of_timm_gives_the_same_gradients(name: str) -> None:
    torch.manual_seed(0)
    plain = build_visual(name)
    model = deepcopy(plain)
    for part in parts(model):
        part.forward = memory._recomputed(part, model)
    gradients = []
    for backbone in (plain, model):
        torch.manual_seed(1)
        images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
        backbone.train()(images).square().sum().backward()
        gradients.append({k: p.grad for k, p in backbone.named_parameters()})
    assert same(gradients[0], gradients[1])  # type: ignore[arg-type]
