"""What the rows of every table are made of. Imports neither torch nor Ray."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mi2p.backbones import textual_card
from mi2p.options import SweepOptions, chosen_seeds, train_spec
from mi2p.plan import PlanRow
from mi2p.spec import DataSpec, ModelSpec, TrialSpec, UnitSpec


def me_cnn(dataset: str, *, visual: str, textual: str, attach: tuple[int, ...]) -> ModelSpec:
    """A CNN whose units look at the words of the frozen `textual`.

    On OpenClipart the units are what was chosen on validation (README), elsewhere the paper's.
    """
    units = UnitSpec(attach=attach)
    if _is_openclipart(dataset):
        units = UnitSpec(attach=attach, init="zero_value", lr_multiplier=10)
    return ModelSpec(name="me_cnn", visual=visual, textual=textual, units=units)


def me_bert(dataset: str, *, visual: str, textual: str, attach: tuple[int, ...]) -> ModelSpec:
    """A transformer whose units look at the last map of the frozen `visual`.

    Units have as many heads as its own layers, which always divide its width.
    """
    units = UnitSpec(
        attach=attach,
        heads=textual_card(textual).num_heads,
        lr_multiplier=10 if _is_openclipart(dataset) else 1,
    )
    return ModelSpec(name="me_bert", visual=visual, textual=textual, units=units)


def make_row(
    options: SweepOptions,
    data: DataSpec,
    model: ModelSpec,
    *,
    key: str,
    label: str,
    paper: str = "",
    averages: Sequence[PlanRow] = (),
) -> PlanRow:
    """A trial per seed, trained as the data set's protocol and the options say.

    `paper` is the method's name in the paper's table, empty if it has no such row. With
    `averages` nothing is trained: trials average those of these rows, seed by seed.
    """
    train = train_spec(options, model.trains)
    specs = tuple(
        TrialSpec(
            data=data,
            model=model,
            train=train,
            seed=seed,
            averages=tuple(row.specs[number].trial_id for row in averages),
        )
        for number, seed in enumerate(chosen_seeds(options))
    )
    return PlanRow(key=key, label=label, paper=paper, specs=specs)


def table_name(number: int, options: SweepOptions, others: Sequence[str] = ()) -> str:
    """Stem of a table's files; with `others` than the default backbones it has its own files."""
    parts = [f"table{number}", options.dataset, *others]
    return path_safe("-".join([*parts, "smoke"] if options.smoke else parts))


def path_safe(name: str) -> str:
    """A backbone's name as part of a file's: `timm:resnet18` as `timm-resnet18`."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _is_openclipart(dataset: str) -> bool:
    return dataset.startswith("openclipart")
