"""Inputs: what each model reads, in one order, and batches cut from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mi2p.data.example import Dataset
from mi2p.data.views import decode
from mi2p.inputs import Inputs, prepare
from mi2p.models.textual import TextualBackbone
from mi2p.models.visual import VisualBackbone
from mi2p.models.weights import load_textual, load_tokenizer, load_visual
from mi2p.spec import DataSpec, ModelSpec, UnitSpec
from tests.planted import planted_xor, register

COUNT = 80  # more than one batch of the frozen encoders
DATA = DataSpec(name="planted", image_size=64, max_tokens=12)
BOTH = ModelSpec(
    name="me_cnn",
    visual="tiny_densenet",
    textual="tiny_bert",
    units=UnitSpec(attach=(1,), heads=4),
)
MODELS: Mapping[str, ModelSpec] = {
    "cnn": ModelSpec(name="cnn", visual="tiny_densenet"),
    "bert": ModelSpec(name="bert", textual="tiny_bert"),
    "me_cnn": BOTH,
    "me_bert": replace(BOTH, name="me_bert"),
}
CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    planted = planted_xor(tmp_path / "planted", count=COUNT)
    register(monkeypatch, "planted", planted)
    return planted


def inputs_of(name: str, tmp_path: Path, data: DataSpec = DATA) -> Inputs:
    cache = tmp_path / "cache"
    return prepare(data, MODELS[name], root=None, cache=cache, weights=None, device=CPU)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cnn", {"images"}),
        ("bert", {"tokens", "is_word"}),
        ("me_cnn", {"images", "tokens", "is_word", "words"}),
        ("me_bert", {"tokens", "is_word", "maps"}),
    ],
)
def test_a_model_gets_what_it_reads_and_no_more(
    dataset: Dataset, tmp_path: Path, name: str, read: set[str]
) -> None:
    inputs = inputs_of(name, tmp_path)
    optional = ("images", "tokens", "is_word", "words", "maps")
    assert {part for part in optional if getattr(inputs, part) is not None} == read
    assert all(len(getattr(inputs, part)) == COUNT for part in read)


def test_rows_are_the_examples_in_order(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("cnn", tmp_path)
    assert inputs.images is not None
    assert inputs.labels.tolist() == [example.labels[0] for example in dataset.examples]
    for row in (0, 37, COUNT - 1):
        expected = decode(dataset.examples[row].image, 64)
        np.testing.assert_array_equal(inputs.images[row], expected)
    splits = ("train", "val", "test")
    for split in splits:
        assert [dataset.examples[i] for i in inputs.rows(split)] == list(dataset.split(split))
    assert sorted(np.concatenate([inputs.rows(split) for split in splits])) == list(range(COUNT))


def test_words_are_those_of_the_frozen_encoder(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("me_cnn", tmp_path)
    assert inputs.words is not None
    tokens, is_word = load_tokenizer("tiny_bert", None)([e.text for e in dataset.examples], 12)
    encoder = load_textual("tiny_bert", None).eval()
    with torch.no_grad():
        expected = torch.cat(
            [encoder(tokens[[row]], is_word[[row]]) for row in range(COUNT)]  # one by one
        ).numpy()
    words = is_word.numpy()
    np.testing.assert_allclose(inputs.words[words], expected[words], atol=1e-5)


def test_maps_are_those_of_the_frozen_encoder(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("me_bert", tmp_path)
    assert inputs.maps is not None
    encoder = load_visual("tiny_densenet", None).eval()
    with torch.no_grad():
        expected = torch.cat(
            [encoder(torch.from_numpy(decode(e.image, 64))[None]) for e in dataset.examples]
        ).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(inputs.maps, expected, atol=1e-5)


def test_features_are_made_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [inputs_of(name, tmp_path) for name in ("me_cnn", "me_bert")]

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    for encoder in (TextualBackbone, VisualBackbone):
        monkeypatch.setattr(encoder, "forward", never)
    second = [inputs_of(name, tmp_path) for name in ("me_cnn", "me_bert")]
    assert first[0].words is not None and second[0].words is not None
    assert first[1].maps is not None and second[1].maps is not None
    np.testing.assert_array_equal(first[0].words, second[0].words)
    np.testing.assert_array_equal(first[1].maps, second[1].maps)
    # Another length of text, or another size of image, is another store.
    with pytest.raises(AssertionError, match="encoded again"):
        inputs_of("me_cnn", tmp_path, replace(DATA, max_tokens=11))
    with pytest.raises(AssertionError, match="encoded again"):
        inputs_of("me_bert", tmp_path, replace(DATA, image_size=32))


def test_a_batch_is_cut_to_its_longest_text(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("me_cnn", tmp_path)
    lengths = np.array([len(example.text.split()) + 2 for example in dataset.examples])
    rows = np.flatnonzero(lengths < lengths.max())[[5, 0, 3]]  # in the order asked for
    longest = int(lengths[rows].max())
    batch = inputs.batch(rows, CPU)
    assert batch.tokens is not None and batch.is_word is not None and batch.words is not None
    assert batch.images is not None and batch.labels is not None
    assert batch.maps is None
    assert batch.tokens.shape == batch.is_word.shape == (3, longest)
    assert batch.words.shape == (3, longest, 48)
    assert batch.is_word.sum(1).tolist() == lengths[rows].tolist()
    for at, row in enumerate(rows):
        assert inputs.tokens is not None and inputs.words is not None
        assert torch.equal(batch.tokens[at], inputs.tokens[row, :longest])
        np.testing.assert_array_equal(batch.words[at].numpy(), inputs.words[row, :longest])
        assert batch.labels[at].item() == dataset.examples[row].labels[0]
        expected = decode(dataset.examples[row].image, 64)
        np.testing.assert_array_equal(batch.images[at].numpy(), expected)


def test_writing_into_a_batch_leaves_the_store(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("me_cnn", tmp_path)
    batch = inputs.batch(np.array([0, 1]), CPU)
    assert batch.images is not None and batch.words is not None and inputs.words is not None
    before = inputs.words[0].copy()
    batch.images.zero_()
    batch.words.zero_()
    np.testing.assert_array_equal(inputs.words[0], before)


def test_several_labels_become_indicators(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [(), (0,), (1,), (0, 1)]
    some = tuple(
        replace(example, labels=chosen)
        for example, chosen in zip(dataset.examples[:4], labels, strict=True)
    )
    register(monkeypatch, "planted", replace(dataset, multilabel=True, examples=some))
    inputs = inputs_of("bert", tmp_path)
    assert inputs.labels.dtype == torch.float32
    assert inputs.labels.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_the_limit_reaches_every_array(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("me_cnn", tmp_path, replace(DATA, limit=3))
    assert inputs.images is not None and inputs.words is not None
    assert len(inputs.dataset.examples) == len(inputs.images) == len(inputs.words) == 9
