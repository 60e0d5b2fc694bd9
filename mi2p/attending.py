"""One example through a trained model, and what its units attend to there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mi2p.attention_file import Attention, Shown, Unit
from mi2p.data.example import Dataset, Example
from mi2p.features import open_images
from mi2p.inputs import Inputs
from mi2p.models.weights import load_tokenizer
from mi2p.recording import Place, Recorded, recorded
from mi2p.reproduction import Reproduced
from mi2p.runtime import Runtime
from mi2p.sentences import Sentence, sentence
from mi2p.steps import autocast

THRESHOLD = 0.5
"""From which a label is predicted where several may hold."""


def attention_in(
    example: Example, reproduced: Reproduced, runtime: Runtime, shown: Shown
) -> Attention:
    """What the model attends to in one example, which is alone in its batch.

    So it does not depend on the others that are looked at. `ValueError` for an example that was
    left out because its image cannot be used.
    """
    run = reproduced.run
    inputs, spec = run.inputs, run.spec
    row = _row_of(inputs, example)
    with torch.no_grad(), autocast(run.device), recorded(run.model) as found:
        logits = run.model(inputs.batch(np.array([row]), run.device)).float()[0].cpu()
    probabilities = (logits.sigmoid() if run.multilabel else logits.softmax(-1)).numpy()
    assert spec.model.textual is not None, "a model with units reads texts"
    tokenizer = load_tokenizer(spec.model.textual, runtime.weights)
    text = sentence(tokenizer, example.text, spec.data.max_tokens)
    return Attention(
        trial_id=spec.trial_id,
        example=example.id,
        split=example.split,
        labels=_named(inputs.dataset, example.labels),
        predicted=_named(inputs.dataset, _predicted(probabilities, multilabel=run.multilabel)),
        probabilities=probabilities,
        sentence=text,
        picture=_picture(inputs, row, reproduced, runtime),
        units=_units(found),
        shown=replace(shown, words=_of_text(shown.words, text)),
        difference=reproduced.difference,
    )


def _row_of(inputs: Inputs, example: Example) -> int:
    row = inputs.everything.examples.index(example)
    if not inputs.usable[row]:
        raise ValueError(
            f"the image of an example must be one that can be used, but {example.image} of "
            f"{example.id} cannot: the trial left it out"
        )
    return row


def _predicted(probabilities: NDArray[np.float32], *, multilabel: bool) -> list[int]:
    if multilabel:
        found: list[int] = np.flatnonzero(probabilities > THRESHOLD).tolist()
        return found
    return [int(probabilities.argmax())]


def _named(dataset: Dataset, labels: Iterable[int]) -> tuple[str, ...]:
    return tuple(dataset.classes[label] for label in labels)


def _picture(
    inputs: Inputs, row: int, reproduced: Reproduced, runtime: Runtime
) -> NDArray[np.uint8]:
    """(S, S, 3) The middle of the decoded image, as the model sees it in evaluation."""
    images = inputs.images
    if images is None:  # the model reads stored features of it
        images = open_images(reproduced.run.spec.data, inputs.everything, runtime)
    inner = slice(inputs.view.border, inputs.view.border + inputs.view.size)
    square = images.take(np.array([row]))[0][:, inner, inner]  # (3, S, S)
    picture: NDArray[np.uint8] = np.ascontiguousarray(square.transpose(1, 2, 0))
    return picture


def _units(found: Mapping[Place, Recorded]) -> tuple[Unit, ...]:
    """Those of the CNN first, each in the order of their taps."""
    return tuple(
        Unit(
            modality=modality,
            tap=tap,
            weights=one.weights[0].cpu().numpy(),
            maps=np.ascontiguousarray(one.maps[0].cpu().numpy()),
        )
        for (modality, tap), one in sorted(
            found.items(), key=lambda item: (item[0][0] != "visual", item[0][1])
        )
    )


def _of_text(words: Sequence[str], text: Sentence) -> tuple[str, ...]:
    """Those of the words that the text has, as far as the model reads it."""
    there = {word.lower() for word in text.words}
    return tuple(word for word in words if word.lower() in there)
