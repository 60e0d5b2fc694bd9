"""What a table says in words: on what it rests, and what in it is noise."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from analysis import conditions
from analysis.cells import RowTrials
from analysis.typesetting.tabular import EMPTY
from mi2p.backbones import textual_card, visual_card
from mi2p.plan import Plan

TUNED_NOTE = (
    "*: a label is predicted above one threshold for all labels, which gave the best micro-F1 on "
    "validation, tuned for each trial; without *: above 0.5. Columns with * are not tested: "
    "nothing in them is bold, and they have no intervals."
)

TINY = "tiny_"
"""How the names of backbones with random weights start."""


def runs(plan: Plan, num_test: Mapping[str, int] = MappingProxyType({})) -> str:
    """The sentence of a caption that names seeds, data and what ± is.

    `num_test` has the sizes of the data sets' test splits, those that are known.
    """
    of_rows = [tuple(sorted({spec.seed for spec in row.specs})) for row in plan.rows]
    listed = ", ".join(str(seed) for seed in sorted(set(itertools.chain(*of_rows))))
    most = max(len(seeds) for seeds in of_rows)
    if len(set(of_rows)) > 1:
        seeds = f"Mean over the seeds of each row (up to {most}, among {listed})"
    else:
        seeds = f"Mean over {most} seeds ({listed})" if most > 1 else f"One seed ({listed})"
    of = [
        dataset + (f" ({num_test[dataset]} examples)" if dataset in num_test else "")
        for dataset in plan.datasets
    ]
    split = f"test split{'s' * (len(of) > 1)} of {listing(of)}"
    spread = "; ± is the sample standard deviation over seeds" if most > 1 else ""
    return f"{seeds} on the {split}{spread}."


def listing(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def footnotes(rows: Sequence[RowTrials]) -> list[str]:
    """What a reader must know of the trials: missing, failed, or not like the others."""
    notes = []
    if any(len(row.finished) < row.want for row in rows):
        notes.append(f"(n/want): only n of the wanted seeds are finished; {EMPTY}: none.")
    failed = {row.row.label: len(row.failed) for row in rows if row.failed}
    if failed:
        told = ", ".join(f"{count} of {label}" for label, count in failed.items())
        notes.append(f"Failed trials, which enter no mean: {sum(failed.values())} ({told}).")
    return [*notes, *conditions.notes(rows), *_untrained(rows)]


def _untrained(rows: Sequence[RowTrials]) -> list[str]:
    """Backbones whose weights are random, so that their numbers mean nothing."""
    titles: dict[str, None] = {}  # in the order of the rows
    for model in (row.row.specs[0].model for row in rows):
        if model.visual is not None and model.visual.startswith(TINY):
            titles[visual_card(model.visual).title] = None
        if model.textual is not None and model.textual.startswith(TINY):
            titles[textual_card(model.textual).title] = None
    if not titles:
        return []
    return [
        f"Not pretrained: {', '.join(titles)}. Rows with them only show that the path works, "
        "their numbers say nothing."
    ]


def of_methods(rows: Sequence[RowTrials]) -> list[str]:
    """What a reader must know of the methods of Tables 3 and 4."""
    return [*_averaged(rows), *joint_score_fusion(rows), *_other_backbones(rows), *_begun(rows)]


def joint_score_fusion(rows: Sequence[RowTrials]) -> list[str]:
    """That score fusion with units is not score fusion without them but for the units."""
    scored = [row for row in rows if (f := row.row.specs[0].model.fusion) and f.kind == "score"]
    apart = [row.row.label for row in scored if row.row.specs[0].averages]
    joint = [row.row.label for row in scored if not row.row.specs[0].averages]
    if not apart or not joint:
        return []
    return [
        f"{', '.join(joint)} is trained jointly, {', '.join(apart)} averages models trained "
        "apart: the difference is not the units' alone."
    ]


def _other_backbones(rows: Sequence[RowTrials]) -> list[str]:
    """What most rows are made of, and those that are made of something else."""
    models = [(row.row.label, row.row.specs[0].model) for row in rows]
    visual = Counter(model.visual for _, model in models if model.visual is not None)
    textual = Counter(model.textual for _, model in models if model.textual is not None)
    if len(visual) < 2 and len(textual) < 2:
        return []
    # Of the CNNs and the transformers apart: rows of one modality are made of half a pair.
    usual = [next((name for name, _ in found.most_common(1)), None) for found in (visual, textual)]
    others = [
        f"{label} of {_made_of(model.visual, model.textual)}"
        for label, model in models
        if [model.visual or usual[0], model.textual or usual[1]] != usual
    ]
    return [f"Rows are made of {_made_of(*usual)}, but {', '.join(others)}."]


def _made_of(visual: str | None, textual: str | None) -> str:
    """A CNN and a transformer; the latter by the name that tells checkpoints apart."""
    title = None if visual is None else visual_card(visual).title
    return " and ".join(name for name in (title, textual) if name is not None)


def _averaged(rows: Sequence[RowTrials]) -> list[str]:
    """Rows of trials that were not trained."""
    labels = [row.row.label for row in rows if row.row.specs[0].averages]
    if not labels:
        return []
    return [
        f"{', '.join(labels)}: not trained; the mean of what the two unimodal trials of the same "
        "seed predict."
    ]


def _begun(rows: Sequence[RowTrials]) -> list[str]:
    """What multimodal transformers start from that have not been pretrained so before."""
    models: dict[str, RowTrials] = {row.row.specs[0].model.name: row for row in rows}
    told: list[str] = []
    notes = []
    for name, what in (("visualbert", "weights"), ("vilt", "word embeddings only")):
        row = models.get(name)
        card = textual_card(row.row.specs[0].model.textual or "") if row else None
        if row and card and card.family != name:
            whose = "from its" if told else f"starts from {card.title}'s"
            told.append(f"{row.row.label} {whose} {what}")
    if told:
        none = "neither has" if len(told) > 1 else "it has not"
        notes.append(f"{', '.join(told)}: {none} been pretrained on images and texts.")
    apart = [models[name].row.label for name in ("mmbt", "pixelbert") if name in models]
    if apart:
        notes.append(
            f"{', '.join(apart)}: no multimodal pretraining is public; from a CNN and a "
            "transformer pretrained apart."
        )
    return notes
