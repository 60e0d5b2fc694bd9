"""Table 5: which layers carry MI2P units. `python sweeps/ablation_layers.py --help`

Rows: the CNN without units, with a unit at each tap, with all of them; the BERT without units,
with units on each quarter of its layers (on thirds where four does not divide them), with all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import protocol
from mi2p.options import SweepOptions, data_spec
from mi2p.plan import Plan
from mi2p.spec import ModelSpec
from mi2p.table_rows import make_row, me_bert, me_cnn, table_name


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Table 5: which layers carry MI2P units."""

    visual: str | None = None
    """CNN. None: the data set's own (openclipart efficientnet_lite0, others densenet121)."""
    textual: str | None = None
    """Transformer. None: the data set's own (openclipart minilm, others bert-base-uncased)."""


def models(dataset: str, visual: str, textual: str) -> Iterator[tuple[str, str, ModelSpec]]:
    """Label, the paper's name and model of each row in order."""
    title = visual_card(visual).title
    yield title, "DenseNet", ModelSpec(name="cnn", visual=visual)
    blocks: tuple[tuple[int, ...], ...] = ((1,), (2,), (3,), (4,), (1, 2, 3, 4))
    for taps in blocks:
        where = f" + MI2P{{{span(taps)}}}"
        model = me_cnn(dataset, visual=visual, textual=textual, attach=taps)
        yield title + where, "DenseNet" + where, model

    card = textual_card(textual)
    yield card.title, "BERT", ModelSpec(name="bert", textual=textual)
    layers = tuple(range(1, card.num_layers + 1))
    size = len(layers) // (4 if len(layers) % 4 == 0 else 3)
    parts = [layers[start : start + size] for start in range(0, len(layers), size)]
    for taps in (*parts, layers):
        where = f" + MI2P{{{span(taps)}}}"
        model = me_bert(dataset, visual=visual, textual=textual, attach=taps)
        yield card.title + where, "Bert" + where, model


def span(taps: tuple[int, ...]) -> str:
    """(1, 2, 3, 4) as the paper writes it: 1-4."""
    return f"{taps[0]}-{taps[-1]}" if len(taps) > 1 else str(taps[0])


def plan(options: Options) -> Plan:
    """The rows of Table 5 and their trials."""
    own, data = protocol(options.dataset), data_spec(options)
    backbones = (options.visual or own.visual, options.textual or own.textual)
    rows = tuple(
        make_row(
            options,
            data,
            model,
            key=model.name + (f"-{span(model.units.attach)}" if model.units else ""),
            label=label,
            paper=paper,
        )
        for label, paper, model in models(options.dataset, *backbones)
    )
    others = () if backbones == (own.visual, own.textual) else backbones
    name = table_name(5, options, others)
    return Plan(name=name, table=5, dataset=options.dataset, rows=rows)


if __name__ == "__main__":
    import tyro

    from analysis.table5 import write
    from mi2p.sweep import main

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))
    main(chosen, plan, write)
