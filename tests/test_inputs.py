"""Inputs: what each model reads, in one order, and batches cut from it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mi2p.data.cache import Stored
from mi2p.data.example import Dataset
from mi2p.data.views import BadImages, View, decode
from mi2p.inputs import Inputs, prepare
from mi2p.models import Batch, build
from mi2p.models.textual import TextualBackbone
from mi2p.models.visual import VisualBackbone
from mi2p.models.weights import load_textual, load_tokenizer, load_visual
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
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
    return prepare(data, MODELS[name], Runtime(cache=tmp_path / "cache", device="cpu"))


def everything(store: Stored | None) -> NDArray[Any]:
    assert store is not None
    return store.take(np.arange(len(store)))


def tokenized(dataset: Dataset) -> tuple[Tensor, Tensor]:
    return load_tokenizer("tiny_bert", None)([e.text for e in dataset.examples], 12)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cnn", {"images"}),
        ("bert", {"tokens"}),
        ("me_cnn", {"images", "tokens", "words"}),
        ("me_bert", {"tokens", "maps"}),
    ],
)
def test_a_model_gets_what_it_reads_and_no_more(
    dataset: Dataset, tmp_path: Path, name: str, read: set[str]
) -> None:
    inputs = inputs_of(name, tmp_path)
    optional = ("images", "tokens", "words", "maps")
    assert {part for part in optional if getattr(inputs, part) is not None} == read
    assert all(getattr(inputs, part).count == COUNT for part in read)


def test_rows_are_the_examples_in_order(dataset: Dataset, tmp_path: Path) -> None:
    inputs = inputs_of("cnn", tmp_path)
    images = everything(inputs.images)
    assert inputs.labels.tolist() == [example.labels[0] for example in dataset.examples]
    for row in (0, 37, COUNT - 1):
        expected = decode(dataset.examples[row].image, View(size=64))
        np.testing.assert_array_equal(images[row], expected)
    splits = ("train", "val", "test")
    for split in splits:
        assert [dataset.examples[i] for i in inputs.rows(split)] == list(dataset.split(split))
    assert sorted(np.concatenate([inputs.rows(split) for split in splits])) == list(range(COUNT))


def test_words_are_those_of_the_frozen_encoder(dataset: Dataset, tmp_path: Path) -> None:
    batch = inputs_of("me_cnn", tmp_path).batch(np.arange(COUNT), CPU)
    tokens, is_word = tokenized(dataset)
    encoder = load_textual("tiny_bert", None).eval()
    assert batch.words is not None and batch.is_word is not None
    with torch.no_grad():
        for row in range(COUNT):  # one by one, without padding
            length = int(is_word[row].sum())
            assert batch.is_word[row].sum() == length
            expected = encoder(tokens[[row], :length], is_word[[row], :length])[0]
            torch.testing.assert_close(batch.words[row, :length], expected, atol=1e-5, rtol=0)
            assert not batch.words[row, length:].any()


def test_maps_are_those_of_the_frozen_encoder(dataset: Dataset, tmp_path: Path) -> None:
    maps = everything(inputs_of("me_bert", tmp_path).maps)
    encoder = load_visual("tiny_densenet", None).eval()
    view = View(size=64)
    with torch.no_grad():
        expected = torch.cat(
            [encoder(torch.from_numpy(decode(e.image, view))[None]) for e in dataset.examples]
        ).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(maps, expected, atol=1e-5)


@pytest.mark.parametrize("features", ["float32", "float16"])
@pytest.mark.parametrize("name", ["me_cnn", "me_bert"])
def test_logits_with_and_without_stores_agree_bit_for_bit(
    dataset: Dataset, tmp_path: Path, name: str, features: Literal["float32", "float16"]
) -> None:
    data = replace(DATA, features=features)
    train = TrainSpec(lr=1e-3, epochs=1)
    spec = TrialSpec(data=data, model=MODELS[name], train=train)
    rows = np.random.default_rng(0).permutation(COUNT)[:21]
    tokens, is_word = (x[torch.from_numpy(rows)] for x in tokenized(dataset))
    longest = int(is_word.sum(1).max())
    tokens, is_word = tokens[:, :longest], is_word[:, :longest]
    view = View(size=64)
    images = [torch.from_numpy(decode(dataset.examples[row].image, view)) for row in rows]
    plain = Batch(images=torch.stack(images), tokens=tokens, is_word=is_word)
    stored = inputs_of(name, tmp_path, data).batch(rows, CPU)
    with torch.no_grad():
        expected = build(spec, 2).eval()(plain)
        found = build(spec, 2, stored=("words", "maps")).eval()(stored)
    assert torch.equal(found, expected)
    assert found.std() > 0


def test_features_are_made_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [inputs_of(name, tmp_path) for name in ("me_cnn", "me_bert")]

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    for encoder in (TextualBackbone, VisualBackbone):
        monkeypatch.setattr(encoder, "forward", never)
    second = [inputs_of(name, tmp_path) for name in ("me_cnn", "me_bert")]
    np.testing.assert_array_equal(everything(first[0].words), everything(second[0].words))
    np.testing.assert_array_equal(everything(first[1].maps), everything(second[1].maps))
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
    tokens, _ = tokenized(dataset)
    for at, row in enumerate(rows):
        assert torch.equal(batch.tokens[at], tokens[row, :longest])
        assert batch.labels[at].item() == dataset.examples[row].labels[0]
        expected = decode(dataset.examples[row].image, View(size=64))
        np.testing.assert_array_equal(batch.images[at].numpy(), expected)


def test_writing_into_a_batch_leaves_the_store(dataset: Dataset, tmp_path: Path) -> None:
    inputs, rows = inputs_of("me_cnn", tmp_path), np.array([0, 1])
    first = inputs.batch(rows, CPU).map(torch.clone)
    inputs.batch(rows, CPU).map(lambda tensor: tensor.zero_())
    again = inputs.batch(rows, CPU)
    assert first.images is not None and again.images is not None
    assert first.words is not None and again.words is not None
    assert torch.equal(first.images, again.images) and first.images.any()
    assert torch.equal(first.words, again.words)


AUGMENTED = replace(DATA, view="crop", augment="crop_flip")


def test_augmentation_shifts_and_flips_what_is_there(dataset: Dataset, tmp_path: Path) -> None:
    inputs, rows = inputs_of("cnn", tmp_path, AUGMENTED), np.arange(COUNT)
    bordered = everything(inputs.images)
    assert bordered.shape[-1] == 72
    middle = inputs.batch(rows, CPU).images
    assert middle is not None
    np.testing.assert_array_equal(middle.numpy(), bordered[:, :, 4:68, 4:68])
    moved = inputs.batch(rows, CPU, np.random.default_rng(3)).images
    assert moved is not None
    seen = set()
    for row in rows:
        for top, left, flip in itertools.product(range(9), range(9), (1, -1)):
            square = bordered[row, :, top : top + 64, left : left + 64][:, :, ::flip]
            if np.array_equal(square, moved[row].numpy()):
                seen.add((top, left, flip))
                break
        else:
            pytest.fail(f"row {row} is nowhere in its picture")
    assert len(seen) > COUNT / 2  # of 162 ways
    assert {flip for *_, flip in seen} == {1, -1}
    again = inputs.batch(rows, CPU, np.random.default_rng(3)).images
    assert again is not None and torch.equal(again, moved)


def test_with_augmentation_words_are_kept_and_maps_are_not(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of_cnn = inputs_of("me_cnn", tmp_path, AUGMENTED)
    assert of_cnn.words is not None
    assert "not cached" not in caplog.text
    of_bert = inputs_of("me_bert", tmp_path, AUGMENTED)
    assert of_bert.maps is None and of_bert.images is not None
    assert "Z' is computed in every step and not cached" in caplog.text
    assert not list((tmp_path / "cache").glob("maps-*.arrow"))


@pytest.mark.parametrize("name", MODELS)
def test_bad_images_are_left_out_for_every_model_alike(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    gone = [dataset.split(split)[0] for split in ("train", "val", "test")]
    for example in gone:
        example.image.write_bytes(b"no picture")
    rest = tuple(example for example in dataset.examples if example not in gone)
    inputs = inputs_of(name, tmp_path, replace(DATA, on_bad_image="skip"))
    assert inputs.dataset.examples == rest
    for split in ("train", "val", "test"):
        used = [dataset.examples[i] for i in inputs.rows(split)]
        assert used == [example for example in rest if example.split == split]
    if MODELS[name].visual is None:
        assert inputs_of(name, tmp_path).usable.all()  # it needs no image
    else:
        with pytest.raises(BadImages, match="3 of 80 images cannot be used"):
            inputs_of(name, tmp_path)


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
    assert len(inputs.dataset.examples) == len(inputs.images) == inputs.words.count == 9
