"""Every method that reads both modalities learns a problem that neither solves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, TrainSpec
from mi2p.train import fit
from tests.planted import planted_pair, register
from tests.tiny_models import KINDS, spec_of

UNIMODAL = ("cnn", "bert")
MULTIMODAL = (
    *(f"fusion-{kind}" for kind in KINDS),
    *(f"me_fusion-{kind}" for kind in ("score", "concat", "cross_attention")),
    "centralnet",
    "mmbt",
    "pixelbert",
    "visualbert",
    "vilt",
)


USUAL = TrainSpec(lr=2e-3, batch_size=16, epochs=8)
# A random BERT hardly mixes its tokens, and MMBT sees the image only through three of them.
OF = {"mmbt": TrainSpec(lr=4e-3, batch_size=16, epochs=16)}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(cache=tmp_path_factory.mktemp("cache"), device="cpu")


@pytest.fixture
def planted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp() / "pair"
    register(monkeypatch, "planted", planted_pair(folder, count=192))


@pytest.mark.slow  # trains sixteen models
@pytest.mark.parametrize("name", [*UNIMODAL, *MULTIMODAL])
@pytest.mark.usefixtures("planted")
def test_four_classes_of_two_bits(name: str, runtime: Runtime) -> None:
    spec = spec_of(name)
    spec = replace(
        spec,
        data=DataSpec(name="planted", image_size=64, max_tokens=12),
        model=replace(spec.model, head_dropout=0.0),
        train=OF.get(name, USUAL),
    )
    accuracy = fit(spec, runtime).metrics["test/accuracy"]
    if name in UNIMODAL:
        assert 0.4 <= accuracy <= 0.6  # one bit of two
    else:
        assert accuracy >= 0.9
