"""Compact bilinear pooling against explicit sketches and convolutions, and what makes it work."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from mi2p.model_spec import FusionSpec
from mi2p.models.baselines.compact_bilinear import CBGP, CBP, RANK, CompactBilinear, CountSketch

VISUAL, TEXTUAL = 6, 5


def features(batch: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(batch, VISUAL, generator=generator)
    return v, torch.randn(batch, TEXTUAL, generator=generator)


def pool_of(size: int, *, seed: int = 0) -> CompactBilinear:
    torch.manual_seed(seed)
    return CompactBilinear(VISUAL, TEXTUAL, size)


Kind = TypeVar("Kind", CBP, CBGP)


def model_of(kind: type[Kind], *, seed: int = 0, **options: Any) -> Kind:
    torch.manual_seed(seed)
    spec = FusionSpec(kind=kind.__name__.lower(), **{"sketch": 16, **options})  # type: ignore[arg-type]
    return kind(VISUAL, TEXTUAL, spec)


def explicit_sketch(sketch: CountSketch, x: list[float]) -> list[float]:
    found = [0.0] * sketch.size
    for value, bucket, sign in zip(x, sketch.bucket.tolist(), sketch.sign.tolist(), strict=True):
        found[bucket] += sign * value
    return found


def explicit_product(pool: CompactBilinear, v: list[float], t: list[float]) -> list[float]:
    """The circular convolution of the two sketches."""
    one, other = pool.sketches
    assert isinstance(one, CountSketch) and isinstance(other, CountSketch)
    a, b = explicit_sketch(one, v), explicit_sketch(other, t)
    n = pool.size
    return [sum(a[i] * b[(j - i) % n] for i in range(n)) for j in range(n)]


def explicit_pool(pool: CompactBilinear, v: list[float], t: list[float]) -> list[float]:
    rooted = [math.copysign(math.sqrt(abs(z)), z) for z in explicit_product(pool, v, t)]
    norm = math.sqrt(sum(z * z for z in rooted))
    return [z / norm for z in rooted]


@pytest.mark.parametrize("size", [2, 4, 7, 16, 33])  # buckets that are shared, odd and even sizes
def test_the_product_is_the_convolution_of_count_sketches(size: int) -> None:
    pool, (v, t) = pool_of(size), features()
    expected = [explicit_product(pool, *pair) for pair in zip(v.tolist(), t.tolist(), strict=True)]
    torch.testing.assert_close(pool.product(v, t), torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_pooling_is_the_normalised_signed_root_of_the_product() -> None:
    pool, (v, t) = pool_of(16), features()
    expected = [explicit_pool(pool, *pair) for pair in zip(v.tolist(), t.tolist(), strict=True)]
    # A root magnifies what rounding left of an empty bucket.
    torch.testing.assert_close(pool(v, t), torch.tensor(expected), atol=1e-3, rtol=0)
    torch.testing.assert_close(pool(v, t).norm(dim=1), torch.ones(len(v)))


def test_sketches_are_drawn_over_all_buckets_and_both_signs() -> None:
    torch.manual_seed(0)
    sketch = CountSketch(20000, 10)
    counts = sketch.bucket.bincount(minlength=10)
    # 2000 each; the standard deviation is 42.
    assert len(counts) == 10 and (counts - 2000).abs().max() < 200
    assert set(sketch.sign.tolist()) == {-1.0, 1.0}
    assert abs(sketch.sign.mean().item()) < 0.03  # 4 standard deviations


def test_inner_products_are_those_of_outer_products() -> None:
    # For unit vectors the estimate is unbiased, its variance at most (3^2 - 1) / D (Pham and Pagh,
    # KDD 2013): the mean of 512 at D = 64 has a standard error below 0.016. All entries are
    # positive, so that collisions would add up were it not for the signs.
    v, t = (nn.functional.normalize(x.abs()) for x in features(1))
    near_v, near_t = (nn.functional.normalize(x.abs()) for x in features(1, seed=2))
    wanted = ((v * near_v).sum() * (t * near_t).sum()).item()
    assert 0.1 < wanted < 0.9  # neither nothing nor the norm
    pools = [pool_of(64, seed=seed) for seed in range(512)]
    found = [(p.product(v, t) * p.product(near_v, near_t)).sum().item() for p in pools]
    mean = sum(found) / len(found)
    assert mean == pytest.approx(wanted, abs=3 * 0.016)
    assert sum((x - mean) ** 2 for x in found) / len(found) <= 8 / 64
    for pool in pools:
        for sketch in pool.sketches:
            assert isinstance(sketch, CountSketch)
            sketch.sign.fill_(1)
    unsigned = [(p.product(v, t) * p.product(near_v, near_t)).sum().item() for p in pools]
    assert sum(unsigned) / len(unsigned) > wanted + 6 * 0.016


@pytest.mark.parametrize("zero", ["visual", "textual", "both"])
@pytest.mark.parametrize("options", [{}, {"gate_at": "visual"}, None], ids=str)
def test_gradients_at_zero_are_finite(zero: str, options: dict[str, Any] | None) -> None:
    model = model_of(CBP) if options is None else model_of(CBGP, **options)
    v, t = features()
    if zero != "textual":
        v = torch.zeros_like(v)
    if zero != "visual":
        t = torch.zeros_like(t)
    v.requires_grad_()
    t.requires_grad_()
    joint = model(v, t)
    assert joint.isfinite().all()
    weights = torch.randn(joint.shape, generator=torch.Generator().manual_seed(2))
    (joint * weights).sum().backward()
    gradients = [v.grad, t.grad, *(p.grad for p in model.parameters())]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_the_gradient_is_that_of_the_explicit_product() -> None:
    pool, (v, t) = pool_of(7), features(1)
    weights = torch.randn(7, generator=torch.Generator().manual_seed(2)).double()
    v.requires_grad_()
    (pool.product(v, t)[0] * weights).sum().backward()
    gradient, step = v.grad, 1e-3
    assert gradient is not None
    row, other = v[0].tolist(), t[0].tolist()
    for i in range(VISUAL):  # linear in v: a difference is exact
        moved = [x + step * (i == j) for j, x in enumerate(row)]
        pairs = zip(
            explicit_product(pool, moved, other), explicit_product(pool, row, other), strict=True
        )
        slope = sum(w * (a - b) for w, (a, b) in zip(weights.tolist(), pairs, strict=True)) / step
        assert gradient[0, i].item() == pytest.approx(slope, abs=1e-4)


def test_the_state_keeps_the_sketches() -> None:
    v, t = features()
    model, other = model_of(CBP), model_of(CBP, seed=9)
    state = model.state_dict()
    kept = {name for name in state if name.startswith("pool.")}
    assert len(kept) == 4  # buckets and signs of two
    assert any(not torch.equal(state[name], other.state_dict()[name]) for name in kept)
    other.load_state_dict(state)
    assert torch.equal(other(v, t), model(v, t))
    # They are no parameters: nothing trains them.
    assert not kept & {name for name, _ in model.named_parameters()}


def test_the_two_sketches_of_a_product_differ() -> None:
    torch.manual_seed(0)
    one, other = CompactBilinear(50, 50, 64).sketches
    assert isinstance(one, CountSketch) and isinstance(other, CountSketch)
    assert not torch.equal(one.bucket, other.bucket) and not torch.equal(one.sign, other.sign)


def test_it_is_deterministic_in_the_deterministic_mode_of_training() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        found = []
        for _ in range(2):
            model, (v, t) = model_of(CBP, sketch=4), features(64)
            v.requires_grad_()
            model(v, t).sum().backward()
            found.append(v.grad)
    finally:
        torch.use_deterministic_algorithms(before)
    assert found[0] is not None and found[1] is not None and torch.equal(found[0], found[1])


def test_it_pools_in_float32_under_autocast() -> None:
    pool, (v, t) = pool_of(16), features()
    v, t = v.bfloat16(), t.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pool(v, t)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, pool(v.float(), t.float()))


def test_the_gate_on_the_product_is_what_its_equation_says() -> None:
    model, (v, t) = model_of(CBGP), features()
    state = {name: value.double() for name, value in model.state_dict().items()}
    first, second = state["gate.0.weight"], state["gate.1.weight"]
    assert first.shape == (RANK, 16) and second.shape == (16, RANK)
    z = model.pool(v, t).double()
    gate = 1 / (1 + (-(z @ first.T @ second.T + state["gate.1.bias"])).exp())
    torch.testing.assert_close(model(v, t).double(), gate * z, atol=1e-5, rtol=0)


def test_the_gate_on_the_visual_feature_is_what_its_equation_says() -> None:
    model, (v, t) = model_of(CBGP, gate_at="visual"), features()
    state = {name: value.double() for name, value in model.state_dict().items()}
    gate = 1 / (1 + (-(t.double() @ state["gate.weight"].T)).exp())
    gated = gate * (v.double() @ state["visual.weight"].T)
    assert gated.shape == (len(v), RANK)
    pooled = [
        explicit_pool(model.pool, *pair) for pair in zip(gated.tolist(), t.tolist(), strict=True)
    ]
    expected = torch.tensor(pooled, dtype=torch.float64)
    # As in the test of pooling: a root magnifies what rounding left of an empty bucket.
    torch.testing.assert_close(model(v, t).double(), expected, atol=1e-3, rtol=0)


def test_the_paper_scale_fits() -> None:
    # DenseNet-121 and BERT at the published size of sketches.
    torch.manual_seed(0)
    spec = FusionSpec(kind="cbgp")
    model = CBGP(1024, 768, spec)
    assert model(torch.randn(2, 1024), torch.randn(2, 768)).shape == (2, 16000)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert buffers < 100_000  # no matrix of width x size
