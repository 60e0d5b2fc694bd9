"""Recipes of stores: what decides them, and that each heavy thing is done once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mi2p import features
from mi2p.data import views
from mi2p.data.example import Dataset
from mi2p.features import map_recipe, recipes, token_recipe, word_recipe
from mi2p.models.frozen import Frozen
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.train import fit
from tests.planted import planted_xor, register

COUNT = 80
DATA = DataSpec(name="planted", image_size=64, max_tokens=12)
UNITS = UnitSpec(attach=(1,), heads=4)
CNN = ModelSpec(name="cnn", visual="tiny_densenet")
BERT = ModelSpec(name="bert", textual="tiny_bert")
ME_CNN = replace(CNN, name="me_cnn", textual="tiny_bert", units=UNITS)
ME_BERT = replace(ME_CNN, name="me_bert")
ME_BOTH = replace(ME_CNN, name="me_fusion", textual_units=UNITS, fusion=FusionSpec(kind="concat"))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    planted = planted_xor(tmp_path / "planted", count=COUNT)
    register(monkeypatch, "planted", planted)
    return planted


@pytest.fixture
def runtime(tmp_path: Path, dataset: Dataset) -> Runtime:
    return Runtime(cache=tmp_path / "cache", device="cpu")


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (CNN, ["images"]),
        (BERT, ["tokens"]),
        (ME_CNN, ["images", "tokens", "words"]),
        (ME_BERT, ["images", "tokens", "maps"]),
        (replace(BERT, name="mmbt", visual="tiny_densenet"), ["images", "tokens"]),
        (replace(BERT, name="visualbert", visual="tiny_densenet"), ["images", "tokens", "maps"]),
        (replace(BERT, name="vilt"), ["images", "tokens"]),
        (ME_BOTH, ["images", "tokens", "words", "maps"]),
    ],
)
def test_the_stores_that_a_model_reads(runtime: Runtime, model: ModelSpec, kinds: Any) -> None:
    assert [recipe.kind for recipe in recipes(DATA, model, runtime)] == kinds


def test_augmented_images_have_no_stored_maps(runtime: Runtime) -> None:
    augmented = replace(DATA, augment="crop_flip")
    assert [r.kind for r in recipes(augmented, ME_BERT, runtime)] == ["images", "tokens"]
    for model in (ME_CNN, ME_BOTH):
        kinds = [recipe.kind for recipe in recipes(augmented, model, runtime)]
        assert kinds == ["images", "tokens", "words"]


def names(runtime: Runtime, data: DataSpec = DATA, **encoders: str) -> tuple[str, str, str]:
    textual, visual = encoders.get("textual", "tiny_bert"), encoders.get("visual", "tiny_densenet")
    made = (
        token_recipe(data, textual, runtime),
        word_recipe(data, textual, runtime),
        map_recipe(data, visual, runtime),
    )
    return tuple(recipe.path(Path()).name for recipe in made)  # type: ignore[return-value]


def differing(one: tuple[str, ...], other: tuple[str, ...]) -> list[bool]:
    return [a != b for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"max_tokens": 11}, [True, True, False]),
        ({"image_size": 32}, [False, False, True]),
        ({"view": "crop"}, [False, False, True]),
        ({"features": "float16"}, [False, True, True]),
        ({"limit": 3}, [True, True, True]),
        ({"on_bad_image": "skip"}, [False, False, False]),
    ],
)
def test_what_of_a_spec_decides_a_store(
    runtime: Runtime, change: dict[str, Any], moves: list[bool]
) -> None:
    assert differing(names(runtime), names(runtime, replace(DATA, **change))) == moves


def test_other_weights_torch_or_code_are_other_stores(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(runtime)
    for target, value in (
        ("mi2p.features.weights_fingerprint", lambda name, folder: "other"),
        ("torch.__version__", "9.9"),
        ("mi2p.features.FEATURE_VERSION", 99),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            assert differing(before, names(runtime)) == [False, True, True]
    with monkeypatch.context() as patch:
        patch.setattr("mi2p.features.tokenizer_fingerprint", lambda name, folder: "other")
        assert differing(before, names(runtime)) == [True, True, False]
    assert names(runtime) == before


def test_texts_and_labels_decide_what_they_should(
    runtime: Runtime, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(runtime)
    examples = tuple(replace(e, labels=(0,), split="train") for e in dataset.examples)
    register(monkeypatch, "planted", replace(dataset, examples=examples))
    assert names(runtime) == before
    examples = (replace(examples[0], text="another"), *examples[1:])
    register(monkeypatch, "planted", replace(dataset, examples=examples))
    assert differing(before, names(runtime)) == [True, True, False]


def test_the_device_decides_features_alone(runtime: Runtime) -> None:
    on_gpu = replace(runtime, device="cuda")
    assert differing(names(runtime), names(on_gpu)) == [False, True, True]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each image is opened, and how many rows each frozen encoder is given."""
    counts: Counter[str] = Counter()
    decode = views._decode

    def counting(path: Path, view: views.View) -> Any:
        counts[str(path)] += 1
        return decode(path, view)

    def count_rows(kind: str) -> None:
        encode = getattr(Frozen, kind)

        def encoding(self: Frozen, rows: Tensor, *more: Tensor) -> Tensor:
            counts[kind] += len(rows)
            found: Tensor = encode(self, rows, *more)
            return found

        monkeypatch.setattr(Frozen, kind, encoding)

    monkeypatch.setattr(views, "_decode", counting)
    count_rows("words")
    count_rows("maps")
    yield counts


def twelve_rows() -> list[TrialSpec]:
    """Table 5's twelve rows, with tiny backbones: CNN and BERT alone and with units."""
    taps: tuple[tuple[int, ...], ...] = ((1,), (2,), (3,), (4,), (1, 2, 3, 4))
    models = [CNN, *(replace(ME_CNN, units=replace(UNITS, attach=t)) for t in taps)]
    taps = ((1,), (2,), (3,), (1, 2), (1, 2, 3))
    models += [BERT, *(replace(ME_BERT, units=replace(UNITS, attach=t)) for t in taps)]
    train = TrainSpec(lr=1e-3, batch_size=16, epochs=2)
    return [TrialSpec(data=DATA, model=model, train=train) for model in models]


def test_a_twelve_row_ablation_does_nothing_heavy_twice(
    runtime: Runtime, dataset: Dataset, counted: Counter[str]
) -> None:
    specs = twelve_rows()
    assert len({spec.trial_id for spec in specs}) == 12
    for spec in specs:
        fit(spec, runtime)
    assert counted.pop("words") == COUNT  # each text once through the frozen BERT
    assert counted.pop("maps") == COUNT  # each image once through the frozen CNN
    assert counted == {str(example.image): 1 for example in dataset.examples}


def test_a_store_is_made_with_torchs_switches_set(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(2)
    seen = []

    class Watching(nn.Module):
        def forward(self, tokens: Tensor, is_word: Tensor) -> Tensor:
            seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
            return tokens[..., None].float()

    monkeypatch.setattr(features, "load_textual", lambda name, folder: Watching())
    list(word_recipe(DATA, "tiny_bert", runtime).chunks())
    assert set(seen) == {(1, True)}
