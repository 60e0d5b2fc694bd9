"""Table 5: which layers carry MI2P units. `python sweeps/ablation_layers.py --help`

Rows: the CNN without units, with a unit at each tap, with all of them; the BERT without units,
with units on each quarter of its layers (on thirds where four does not divide them), with all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mi2p.backbones import textual_card, visual_card
from mi2p.data.protocols import protocol
from mi2p.methods import METHODS, Backbones
from mi2p.options import BackboneOptions, data_spec
from mi2p.plan import Plan
from mi2p.spec import ModelSpec
from mi2p.table_rows import make_row, me_bert, me_cnn, table_name


@dataclass(frozen=True, kw_only=True)
class Options(BackboneOptions):
    """Table 5: which layers carry MI2P units."""


def models(of: Backbones) -> Iterator[tuple[str, str, ModelSpec]]:
    """Our and the paper's name of the backbone, and the model, of each row in order.

    The first and the last of a backbone are methods of Tables 3 and 4.
    """
    title = visual_card(of.visual).title
    yield title, "DenseNet", METHODS["cnn"].model(of)
    for tap in (1, 2, 3, 4):
        model = me_cnn(of.dataset, visual=of.visual, textual=of.textual, attach=(tap,))
        yield title, "DenseNet", model
    yield title, "DenseNet", METHODS["me_cnn"].model(of)

    card = textual_card(of.textual)
    yield card.title, "BERT", METHODS["bert"].model(of)
    layers = tuple(range(1, card.num_layers + 1))
    size = len(layers) // (4 if len(layers) % 4 == 0 else 3)
    for start in range(0, len(layers), size):
        part = layers[start : start + size]
        model = me_bert(of.dataset, visual=of.visual, textual=of.textual, attach=part)
        yield card.title, "Bert", model
    yield card.title, "Bert", METHODS["me_bert"].model(of)


def span(taps: tuple[int, ...]) -> str:
    """(1, 2, 3, 4) as the paper writes it: 1-4."""
    return f"{taps[0]}-{taps[-1]}" if len(taps) > 1 else str(taps[0])


def plan(options: Options) -> Plan:
    """The rows of Table 5 and their trials."""
    own, data, rows = protocol(options.dataset), data_spec(options), []
    backbones = (options.visual or own.visual, options.textual or own.textual)
    of = Backbones(dataset=options.dataset, visual=backbones[0], textual=backbones[1])
    for title, paper, model in models(of):
        taps = span(model.units.attach) if model.units else ""
        where = f" + MI2P{{{taps}}}" if taps else ""
        key = f"{model.name}-{taps}" if taps else model.name
        row = make_row(options, data, model, key=key, label=title + where, paper=paper + where)
        rows.append(row)
    others = () if backbones == (own.visual, own.textual) else backbones
    return Plan(name=table_name(5, options, others), table=5, rows=tuple(rows))


if __name__ == "__main__":
    import tyro

    chosen = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))

    from analysis.table5 import write
    from mi2p.sweep import main

    main(chosen, plan, write, fixed=("model.units.attach",))
