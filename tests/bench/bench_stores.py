"""An epoch of training from stores against the plain pipeline, side by side.

    python tests/bench/bench_stores.py [--data FOLDER] [--examples 96]

The plain pipeline does in every step what stores do once: decode and resize the pictures, tokenise
the texts, run the frozen encoder. Model, batches and arithmetic are the same: both must end with
the same losses, bit for bit. Epochs alternate, after one that is not counted; the ratio of the
medians is reported. Building the stores is timed apart.

What is saved does not depend on the trained model, what is left does: so each comparison is made
with the packaged backbones and with a tiny trained one, whose step costs next to nothing. A GPU
lies between: a step of the packaged backbones takes it well under a millisecond for each image,
while pictures are decoded by the CPU as here. Fails when a tiny model is less than `WANTED` times
as fast from stores on the generated photos.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mi2p.data import DATASETS, Dataset, Example, Source
from mi2p.data.images import read_dataset, view_of
from mi2p.data.views import decode
from mi2p.inputs import Inputs, prepare
from mi2p.models import Batch, Classifier, build
from mi2p.models.weights import load_tokenizer
from mi2p.parameters import parameter_groups
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec
from mi2p.steps import loss

BATCH = 32
REPEATS = 3
WANTED = 3
SIDE = 1000
"""Pixels of the generated JPEGs."""
CPU = torch.device("cpu")
UNITS = UnitSpec(attach=(1,), heads=4)
MODELS = {
    "ME-CNN, EfficientNet-Lite0": ModelSpec(
        name="me_cnn", visual="efficientnet_lite0", textual="minilm", units=UNITS
    ),
    "ME-CNN, tiny": ModelSpec(
        name="me_cnn", visual="tiny_densenet", textual="minilm", units=UNITS
    ),
    "ME-BERT, MiniLM": ModelSpec(
        name="me_bert", visual="efficientnet_lite0", textual="minilm", units=UNITS
    ),
    "ME-BERT, tiny": ModelSpec(
        name="me_bert", visual="efficientnet_lite0", textual="tiny_bert", units=UNITS
    ),
}

Batches = Callable[[], Iterator[Batch]]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of each epoch, and the loss of each step."""

    seconds: list[float]
    losses: list[float]


def jpegs(folder: Path, count: int) -> Dataset:
    """Photos of `SIDE` pixels: noise on several scales, about as large as a camera's."""
    rng = np.random.default_rng(0)
    examples = []
    for index in range(count):
        layers = [
            np.asarray(
                Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(
                    (SIDE, SIDE), Image.Resampling.BICUBIC
                ),
                np.float32,
            )
            for side in (4, 30, 250)
        ]
        path = folder / f"{index}.jpg"
        pixels = 0.6 * layers[0] + 0.3 * layers[1] + 0.1 * layers[2]
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
        words = " ".join(rng.choice(["flood", "bridge", "storm", "people", "road", "rescue"], 9))
        examples.append(
            Example(id=str(index), image=path, text=words, labels=(index % 2,), split="train")
        )
    return Dataset(name="jpegs", classes=("a", "b"), multilabel=False, examples=tuple(examples))


def from_stores(inputs: Inputs, rows: np.ndarray) -> Iterator[Batch]:
    for first in range(0, len(rows), BATCH):
        yield inputs.batch(rows[first : first + BATCH], CPU)


def plain(spec: TrialSpec, dataset: Dataset, rows: np.ndarray, labels: Tensor) -> Iterator[Batch]:
    """Batches with pictures and tokens only: the model runs its frozen encoder itself."""
    tokenize, view = load_tokenizer(spec.model.textual or "", None), view_of(spec.data)
    for first in range(0, len(rows), BATCH):
        part = rows[first : first + BATCH]
        examples = [dataset.examples[row] for row in part]
        images = [torch.from_numpy(decode(example.image, view)) for example in examples]
        tokens, is_word = tokenize([e.text for e in examples], spec.data.max_tokens)
        longest = int(is_word.sum(1).max())
        yield Batch(
            images=torch.stack(images),
            tokens=tokens[:, :longest],
            is_word=is_word[:, :longest],
            labels=labels[torch.from_numpy(part)],
        )


class Trainer:
    """A model and its optimiser, and what its epochs took."""

    def __init__(
        self, spec: TrialSpec, num_classes: int, batches: Batches, stored: Collection[str]
    ):
        self.model: Classifier = build(spec, num_classes, stored=stored)
        self.model.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(parameter_groups(self.model, spec), fused=True)
        self.batches = batches
        self.timed = Timed(seconds=[], losses=[])

    def epoch(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model.train()
        start = time.perf_counter()
        for batch in self.batches():
            assert batch.labels is not None
            value = loss(self.model(batch), batch.labels)
            self.optimiser.zero_grad(set_to_none=True)
            value.backward()
            self.optimiser.step()
            self.timed.losses.append(value.item())
        self.timed.seconds.append(time.perf_counter() - start)


def compare(name: str, model: ModelSpec, data: DataSpec, runtime: Runtime, examples: int) -> float:
    """Print one line of the table; how many times as fast the stores are."""
    spec = TrialSpec(data=data, model=model, train=TrainSpec(lr=1e-4, batch_size=BATCH, epochs=1))
    dataset = read_dataset(data, runtime.data)
    start = time.perf_counter()
    inputs = prepare(data, model, runtime)
    building = time.perf_counter() - start
    rows = np.random.default_rng(0).permutation(inputs.rows("train"))[:examples]
    labels, classes = inputs.labels, len(dataset.classes)
    stores = Trainer(spec, classes, lambda: from_stores(inputs, rows), inputs.stored)
    without = Trainer(spec, classes, lambda: plain(spec, dataset, rows, labels), ())
    for seed in range(1 + REPEATS):
        stores.epoch(seed)
        without.epoch(seed)
    assert stores.timed.losses == without.timed.losses, "the two are not the same computation"
    ours, theirs = (
        statistics.median(t.timed.seconds[1:]) / len(rows) * 1000 for t in (stores, without)
    )
    print(
        f"{name:28} {theirs:8.1f} {ours:8.1f} {theirs / ours:7.1f}x "
        f"{building / len(dataset.examples) * 1000:10.1f}",
        flush=True,
    )
    return theirs / ours


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of OpenClipart; left out if not given")
    parser.add_argument("--examples", type=int, default=96)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runtime = Runtime(cache=folder / "cache", data=options.data, device="cpu")
        runtime.make_deterministic()
        (folder / "jpegs").mkdir()
        made = jpegs(folder / "jpegs", options.examples)
        DATASETS["jpegs"] = Source(locate=lambda root: folder, read=lambda root, spec: made)
        cases = [DataSpec(name="jpegs", image_size=128, max_tokens=16, view="crop")]
        if options.data is not None:
            packaged = DataSpec(name="openclipart", image_size=128, max_tokens=16)
            cases.append(replace(packaged, limit=options.examples))
        slow = []
        for data in cases:
            side = f"{SIDE} px JPEGs" if data.name == "jpegs" else "packaged drawings"
            print(f"{side}, {data.image_size} px, ms for each example of an epoch")
            print(f"{'':28} {'plain':>8} {'stores':>8} {'ratio':>8} {'to build':>10}")
            for name, model in MODELS.items():
                ratio = compare(name, model, data, runtime, options.examples)
                if data.name == "jpegs" and "tiny" in name and ratio < WANTED:
                    slow.append(name)
    for name in slow:
        print(f"{name}: less than {WANTED} times as fast")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
