"""What `sweeps/attention_maps.py` does: the attention of a trial's model in some examples.

The pictures are drawn from the files alone, by `analysis/figures/attention.py`. Loads torch where
a model is needed, after all that can be wrong with what was asked for has been told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Never

from rich.console import Console
from tyro.conf import Positional

from mi2p.attention_file import Attention, Shown
from mi2p.data.images import read_dataset
from mi2p.filters import chosen_rows
from mi2p.model_spec import BOTH, UnitSpec
from mi2p.plan import Plan, PlanRow, read_plan
from mi2p.preparation import absolute_cache, find_inputs, prepare_stores
from mi2p.progress import make_console
from mi2p.spec import TrialSpec
from mi2p.store import Store

if TYPE_CHECKING:
    from mi2p.data.example import Dataset, Example

Draw = Callable[[Path, Plan, PlanRow, Attention], list[str]]
"""Makes the pictures and the table of an example; what there is to say of it, in lines."""

PAPER_TWEETS = {
    "904206758830370816_0": "crisismmd_task1 (train) and crisismmd_task2 (val)",
    "870679026041409540_0": "crisismmd_task1 (train)",
}
"""The tweets of the paper's Figure 3, and where the published splits have them."""


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Of which model, in which examples, and what is drawn of it."""

    results: Positional[Path] = Path("results")
    """Folder that a sweep has left."""
    plan: str | None = None
    """Name of a plan in it, such as table5-openclipart. None: the only one."""
    row: str
    """A row with MI2P units: its key, and dataset=... after a comma where several have it."""
    seed: int | None = None
    """Seed of the trial. None: the first of the row."""
    layers: tuple[int, ...] = ()
    """Draw units at these layers (or blocks). Default: the last, as in the paper's Figure 3."""
    examples: tuple[str, ...] = ()
    """Ids of examples; `paper` stands for the two tweets of the paper's Figure 3."""
    split: Literal["train", "val", "test"] = "test"
    """Without --examples: the split of which --number examples are taken."""
    number: int = 3
    """That many, evenly spaced in the data set's order, whatever the model makes of them."""
    words: tuple[str, ...] = ()
    """Draw these words, if a text has any. Else: the three content words whose attention is least
    spread."""
    heads: str = "mean"
    """Over attention heads: mean, max, or the index of one, from 0."""
    channels: int = 1
    """Channels that are summed to a heat map."""
    tolerance: float = 0.02
    """Most that a probability may differ from what the trial's row is made of."""
    data: Path | None = None
    """Folder of the data, or above several. Default: $MI2P_DATA, the system's, or data/."""
    weights: Path | None = None
    """Folder of pretrained weights. Default: $MI2P_WEIGHTS, packaged ones, or the hub."""
    cache: Path = Path("cache")
    """Folder of decoded images and features."""
    device: Literal["auto", "cpu"] = "auto"
    """Auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        for option in ("number", "channels"):
            if getattr(self, option) < 1:
                raise ValueError(f"--{option} must be >= 1, but got {getattr(self, option)}")
        if self.tolerance < 0:
            raise ValueError(f"--tolerance must be >= 0, but got {self.tolerance}")


def main(options: AttentionOptions, draw: Draw) -> Never:
    """Write the attention of each example and draw it; ends the process with 0 or 1."""
    console = make_console()
    try:
        _main(console, options, draw)
    except (ValueError, RuntimeError, OSError) as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", [])])
        console.print(f"error: {told}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0)


def _main(console: Console, options: AttentionOptions, draw: Draw) -> None:
    results = options.results.absolute()
    plan = chosen_plan(results, options.plan)
    row = chosen_row(plan, options.row)
    spec = chosen_trial(Store(results), row, options.seed)
    shown = chosen_units(spec, options)
    for found in attend(console, options, Store(results), spec, shown):
        lines = draw(results, plan, row, found)
        path = found.write(results)
        console.print(f"{found.split} {found.example}: {path}", markup=False, soft_wrap=True)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def chosen_plan(results: Path, name: str | None) -> Plan:
    """The plan called `name`, or the only one; `ValueError` lists them if there are several."""
    names = sorted(path.stem for path in (results / "plans").glob("*.json"))
    if name is None and len(names) > 1:
        raise ValueError(f"--plan must name one of the plans in {results}: {', '.join(names)}")
    return read_plan(results / "plans" / f"{name or ''.join(names) or 'any'}.json")


def chosen_row(plan: Plan, text: str) -> PlanRow:
    """The row of a plan that `text` means; `ValueError` lists those with units."""
    having = [row for row in plan.rows if units_of(row.specs[0])]
    several = len(plan.datasets) > 1
    legal = ", ".join(f"{row.key},dataset={row.dataset}" if several else row.key for row in having)
    told = f"rows of {plan.name} with units: {legal or 'none'}"
    try:
        found = chosen_rows(plan, (text,), "--row")
    except ValueError as error:
        raise ValueError(f"{error}; {told}") from error
    if len(found) > 1:
        raise ValueError(f"--row must mean one row, but {text!r} means {len(found)}; {told}")
    if found[0] not in having:
        raise ValueError(f"--row must have MI2P units, but {found[0].key} has none; {told}")
    return found[0]


def units_of(spec: TrialSpec) -> dict[str, UnitSpec]:
    """The units of a trial's model by the modality of their backbone."""
    found = {modality: spec.model.units_of(modality) for modality in BOTH}
    return {modality: units for modality, units in found.items() if units is not None}


def chosen_trial(store: Store, row: PlanRow, seed: int | None) -> TrialSpec:
    """The trial of a row with that seed, which must be done; `ValueError` says what is not."""
    there = {spec.seed: spec for spec in row.specs}
    wanted = next(iter(there)) if seed is None else seed
    if wanted not in there:
        seeds = ", ".join(map(str, there))
        raise ValueError(f"--seed must be one of row {row.key}, {seeds}, but got {wanted}")
    spec = there[wanted]
    trial = store.trial(spec.trial_id)
    if trial is None or trial["status"] != "done":
        state = "has not run" if trial is None else f"ended in {trial['status']}"
        raise ValueError(
            f"trial {spec.trial_id} (row {row.key}, seed {wanted}) must be done, but it {state}; "
            f"finish the sweep, or name another --seed of {', '.join(map(str, there))}"
        )
    return spec


def chosen_units(spec: TrialSpec, options: AttentionOptions) -> Shown:
    """What is to be drawn; `ValueError` for layers and heads that the model does not have."""
    units = units_of(spec)
    attached = {tap for unit in units.values() for tap in unit.attach}
    told = "; ".join(f"{m} {', '.join(map(str, u.attach))}" for m, u in units.items())
    for tap in options.layers:
        if tap not in attached:
            raise ValueError(f"--layers must have units, but {tap} has none; there are: {told}")
    heads = min(unit.heads for unit in units.values())
    index = options.heads.isdecimal() and int(options.heads) < heads
    if options.heads not in ("mean", "max") and not index:
        raise ValueError(
            f"--heads must be mean, max or a number from 0 to {heads - 1}, but got "
            f"{options.heads!r}"
        )
    return Shown(
        taps=tuple(dict.fromkeys(options.layers)),
        words=options.words,
        heads=options.heads,
        channels=options.channels,
    )


def chosen_examples(dataset: Dataset, options: AttentionOptions) -> list[Example]:
    """The examples asked for; `ValueError` for one that the data does not have."""
    if options.examples:
        ids = [
            example_id
            for name in options.examples
            for example_id in (PAPER_TWEETS if name == "paper" else (name,))
        ]
        by_id = {example.id: example for example in dataset.examples}
        for example_id in ids:
            if example_id not in by_id:
                raise ValueError(_not_there(example_id, dataset))
        return _with_words([by_id[example_id] for example_id in dict.fromkeys(ids)], options)
    of_split = dataset.split(options.split)
    count = min(options.number, len(of_split))
    # The middle of each part: the first of a data set are often one series.
    turns = [(2 * turn + 1) * len(of_split) // (2 * count) for turn in range(count)]
    return _with_words([of_split[turn] for turn in turns], options)


def _with_words(examples: list[Example], options: AttentionOptions) -> list[Example]:
    """The examples; `ValueError` for a word to be drawn that no text has."""
    for word in options.words:
        if not any(word.lower() in example.text.lower() for example in examples):
            texts = "; ".join(example.text for example in examples)
            raise ValueError(f"--words must be words of a text, but {word!r} is in none: {texts}")
    return examples


def _not_there(example_id: str, dataset: Dataset) -> str:
    told = f"--examples must be ids of {dataset.name}, but it has no {example_id!r}"
    if example_id in PAPER_TWEETS:
        return (
            f"{told}, a tweet of the paper's Figure 3 that is in {PAPER_TWEETS[example_id]}: take "
            "a row that is trained on that"
        )
    some = [example.id for example in dataset.split("test")[:3]]
    return f"{told}; ids are such as {', '.join(some)}"


def attend(
    console: Console, options: AttentionOptions, store: Store, spec: TrialSpec, shown: Shown
) -> list[Attention]:
    """The attention of a trial's model in the examples asked for.

    Raises `DataUnavailable` without the data, and what `chosen_examples` and `reproduce` raise.
    """
    data, weights = find_inputs(
        console, spec.data.name, data=options.data, weights=options.weights, cache=options.cache
    )
    dataset = read_dataset(spec.data, data)
    examples = chosen_examples(dataset, options)

    from mi2p.attending import attention_in
    from mi2p.reproduction import reproduce
    from mi2p.runtime import Runtime

    runtime = Runtime(
        cache=absolute_cache(options.cache), data=data, weights=weights, device=options.device
    )
    prepare_stores(console, {spec.data: [spec.model]}, runtime, results=store.folder)
    reproduced = reproduce(
        spec,
        store,
        runtime,
        tolerance=options.tolerance,
        tell=lambda line: console.print(line, markup=False, soft_wrap=True),
    )
    return [attention_in(example, reproduced, runtime, shown) for example in examples]
