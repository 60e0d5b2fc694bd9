"""Names and meanings of the columns of what SQL sees.

Fields of a spec mean what the lines below them in the source say, so that nothing is said twice.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from mi2p.store import PARTS

OF_TRIALS: Mapping[str, str] = MappingProxyType(
    {
        "trial_id": "Hash of the whole spec; the name of its files.",
        "status": "`done`, `pruned` or `error`.",
        "error": "The last line of the traceback of one that failed.",
        "stage": "`search`, or `confirm`: only these have test metrics and enter tables.",
        "seed": "Of initial weights, order and dropout.",
        "model.name": "The method: a key of `mi2p.models.MODELS`.",
        "model.visual": "The CNN; null if there is none.",
        "model.textual": "The transformer; null if there is none.",
        "train.lr": "Learning rate of Adam, the same in every step.",
        "train.epochs": "How many are trained.",
        "train.weight_decay": "Of Adam.",
        "units.query_bias": "Whether the convolution has a bias.",
        "best_epoch": "From 1: the epoch that was best on validation, which all metrics are of.",
        "val/threshold": "Of several labels: best on validation, for metrics called tuned.",
        "parameters": "How many the model has.",
        "added_parameters": "How many of these its backbones alone do not have.",
        "images_left_out": "How many could not be used.",
        "processes": "How many trained it together, each on a GPU of its own.",
        "seconds": "That it took to train and test.",
        "data_fingerprint": "Of the examples that it saw.",
        "weights": "Which pretrained weights it began with.",
        "device": "What it was trained on.",
        "precision": "Of its arithmetic.",
        "torch_version": "Version of torch.",
        "code_version": "Version of this code.",
        "code": "Hash of the sources that its numbers depend on.",
        "averages": "The trials that it averages, each with a hash of its predictions.",
        "faults": "What befell it before it was over, such as lost nodes.",
        "spec": "All of its spec, as JSON.",
    }
)
OF_EPOCHS: Mapping[str, str] = MappingProxyType(
    {"trial_id": OF_TRIALS["trial_id"], "epoch": "From 1.", "train/loss": "Mean over the epoch."}
)
OF_PREDICTIONS: Mapping[str, str] = MappingProxyType(
    {
        "trial_id": OF_TRIALS["trial_id"],
        "split": "`val` or, of trials that confirm, `test`.",
        "example_id": "As the data set names it.",
        "labels": "Classes that hold, counted from 0; labels[1] is the first of the list.",
        "probabilities": "Of each class.",
    }
)
OF_CELLS: Mapping[str, str] = MappingProxyType(
    {
        "plan": "Name of the plan, which its tables have, too.",
        "table_number": "Of the table in the paper; 0 for one that it does not have.",
        "row": "Key of the row, such as `me_cnn-1-4`.",
        "label": "The row as it is printed.",
        "dataset": "Name of the data set.",
        "trial_id": "A trial that the row wants, whether it has run or not.",
        "seed": "Of that trial.",
    }
)


def sql_name(column: str) -> str:
    """As SQL says it without quotes: `test_accuracy` for `test/accuracy`."""
    return re.sub(r"\W", "_", column)


def meanings(columns: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """A line for each column. `own` has those that are no fields of a spec and no metrics."""
    told = {}
    for name in columns:
        known = name.removeprefix("textual_")  # units mean the same on both sides
        told[name] = own.get(known) or _of_field(known) or _of_metric(known)
    return told


def _of_field(column: str) -> str:
    part, _, name = column.partition(".")
    return _documented(part).get(name, "") if name else ""


def _of_metric(column: str) -> str:
    split, _, name = column.partition("/")
    where = {"val": "validation", "test": "the test split"}[split]
    tuned = ", at the tuned threshold" if name.endswith("_tuned") else ""
    told = name.removesuffix("_tuned").replace("_", " ").replace("f1", "F1")
    return f"{told[:1].upper()}{told[1:]} on {where}{tuned}."


@cache
def _documented(part: str) -> Mapping[str, str]:
    """Field of a part of a spec to the first sentence of the text below it."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(PARTS[part]))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    sentence = re.split(r"(?<=\.) (?=[A-Z0-9`])", " ".join(text.split()))[0]
                    found[field.target.id] = sentence
    return found
