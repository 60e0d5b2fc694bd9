"""What methods cost, before anything is trained: `python -m mi2p.models describe --help`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import tyro
from rich.console import Console
from rich.table import Table

from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import protocol
from mi2p.features import stored_features
from mi2p.methods import METHODS, Backbones
from mi2p.models.describing import Description, describe
from mi2p.placement import SPARE
from mi2p.progress import make_console
from mi2p.spec import LEAST_MICRO_BATCH, DataSpec, ModelSpec, TrialSpec

GPUS = (16, 24, 40, 80)
"""Sizes, in GB, for which the largest batch is told."""

NOTES = (
    "FLOPs: two per multiply-add of matrix products, convolutions and attention; a step is "
    "forward and backward{again}. Texts are as long as they may be.",
    "Memory: MB = 10^6 bytes. Needed is what weights, gradients and Adam's state take, the batch "
    "(with T' and Z' that come from a store), and the activations where a step holds most. "
    "Attention is that of a GPU's fused kernels, where the library uses such. bfloat16: kept as "
    "measured under autocast, the rest of the backward pass as in float32.",
    "Not included, and why {spare:.0%} of each GPU is left free: CUDA itself, what the allocator "
    "wastes, workspaces of cuDNN. A batch that does not fit can be split: --micro-batch; "
    "--checkpoint-activations keeps less, with the same result.",
)


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Parameters, operations and memory of methods, and what batch fits on which GPU.

    Needs neither data nor pretrained weights.
    """

    methods: tyro.conf.Positional[tuple[str, ...]] = field()
    """Rows of Tables 3 and 4: cnn, bert, score_fusion, feature_concat, cross_attention,
    centralnet, gmu, cbp, cbgp, mmbt, visualbert, pixelbert, vilt, me_cnn, me_bert,
    me_score_fusion, me_feature_concat, me_cross_attention."""
    dataset: str = "openclipart"
    """Data set whose classes, images, texts, backbones and batches are meant: openclipart,
    openclipart-tags, crisismmd_task1..3, food101, mmimdb."""
    visual: str | None = None
    """CNN. None: the data set's own."""
    textual: str | None = None
    """Transformer. None: the data set's own."""
    image_size: int | None = None
    """Pixels. None: the data set's own (128 for openclipart, else 256)."""
    max_tokens: int | None = None
    """Word pieces. None: the data set's own (openclipart 16, CrisisMMD 64, others 512)."""
    checkpoint_activations: bool = False
    """As with this option of sweeps: activations are computed again in the backward pass."""

    def run(self, console: Console) -> None:
        trials = list(chain.from_iterable(map(self._trials, self.methods)))  # all are checked
        if not trials:
            raise ValueError(f"name at least one method; the methods are {', '.join(METHODS)}")
        own = protocol(self.dataset)
        for title, spec in trials:
            stored = stored_features(spec.data, spec.model)
            found = describe(
                spec,
                own.num_classes,
                multilabel=own.multilabel,
                stored=stored,
                checkpoint=self.checkpoint_activations,
            )
            console.print(_heading(title, spec, own.num_classes), soft_wrap=False, markup=False)
            console.print(_facts(found, spec.model, stored))
            console.print(_fits(found, spec.train.batch_size))
            console.print()
        again = ", part of the former twice" if self.checkpoint_activations else ""
        for note in NOTES:
            console.print(note.format(again=again, spare=SPARE), markup=False)

    def _trials(self, key: str) -> Iterator[tuple[str, TrialSpec]]:
        """The trials of a method, each with its name; one that averages has those it averages."""
        if key not in METHODS:
            raise ValueError(f"no method {key!r}; the methods are {', '.join(METHODS)}")
        own = protocol(self.dataset)
        backbones = Backbones(
            dataset=self.dataset,
            visual=self.visual or own.visual,
            textual=self.textual or own.textual,
        )
        averages = METHODS[key].averages
        for part in averages or (key,):
            name = f"{part} ({METHODS[part].label(backbones)})"
            model = METHODS[part].model(backbones)
            spec = TrialSpec(data=self._data(own.data), model=model, train=own.train(model.trains))
            yield f"{name}, averaged by {key}" if averages else name, spec

    def _data(self, own: DataSpec) -> DataSpec:
        return replace(
            own,
            image_size=own.image_size if self.image_size is None else self.image_size,
            max_tokens=own.max_tokens if self.max_tokens is None else self.max_tokens,
        )


def _heading(title: str, spec: TrialSpec, num_classes: int) -> str:
    model, data = spec.model, spec.data
    names = [
        card(name).title
        for name, card in ((model.visual, visual_card), (model.textual, textual_card))
        if name is not None
    ]
    seen = [f"{data.image_size} px"] if model.visual or model.reads_images else []
    seen += [f"{data.max_tokens} tokens"] if model.textual else []
    return f"{title}: {' and '.join(names)}, {', '.join(seen)}, {num_classes} classes"


def _facts(found: Description, model: ModelSpec, stored: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    total = found.trained + found.frozen
    table.add_row("parameters", _millions(total))
    table.add_row("  trained", _millions(found.trained))
    table.add_row("  of these added", _millions(found.added), "to the pretrained")
    frozen = [
        f"{of} {'from a store' if kind in stored else 'computed in every step'}"
        for kind, of in (("words", "T'"), ("maps", "Z'"))
        if kind in model.frozen
    ]
    if frozen:
        table.add_row("  frozen", _millions(found.frozen), ", ".join(frozen))
    table.add_row("FLOPs per sample, forward", _giga(found.forward_flops))
    table.add_row("FLOPs per sample, training step", _giga(found.step_flops))
    for precision, kept in found.kept.items():
        told = f"{kept.per_sample / 1e6:.1f} MB"
        table.add_row(f"kept per sample for backward, {precision}", told)
    table.add_row("weights, gradients, Adam's state", f"{found.state / 1e6:.0f} MB")
    return table


def _fits(found: Description, batch: int) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("largest batch, or micro-batch, on", no_wrap=True)
    for size in GPUS:
        table.add_column(f"{size} GB", justify="right", no_wrap=True)
    table.add_column(f"batch {batch} needs", justify="right", no_wrap=True)
    for precision in found.step:
        fitting = [found.largest(precision, (1 - SPARE) * size * 1e9) for size in GPUS]
        told = [str(n) if n >= LEAST_MICRO_BATCH else "none" for n in fitting]
        table.add_row(precision, *told, f"{found.needed(precision, batch) / 1e9:.1f} GB")
    return table


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 10_000 else f"{count}  "


def _giga(flops: float) -> str:
    return f"{flops / 1e9:.2f} G"


def main(arguments: list[str] | None = None) -> None:
    """Run a command; ends the process with 1, and the reason, where it fails."""
    commands: dict[str, Callable[..., Describe]] = {"describe": Describe}
    command = tyro.extras.subcommand_cli_from_dict(
        commands, args=arguments, prog="python -m mi2p.models"
    )
    console = make_console()
    try:
        command.run(console)
    except (ValueError, RuntimeError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
