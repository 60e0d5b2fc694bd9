"""Dotted paths into specs: what is legal, what is replaced at once, texts and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mi2p.paths import check_path, has, parsed, paths, replaced, shown, value_at
from mi2p.spec import TrialSpec
from tests.tiny_models import spec_of

ME_CNN, FUSION, BERT = spec_of("me_cnn"), spec_of("me_fusion-concat"), spec_of("bert")


def leaves(plain: dict[str, Any], prefix: str = "") -> set[str]:
    """Paths of all values of a nested dict."""
    found = set()
    for name, value in plain.items():
        path = prefix + name
        found |= leaves(value, f"{path}.") if isinstance(value, dict) else {path}
    return found


def test_every_field_of_a_spec_with_all_parts_has_a_path() -> None:
    # A model with units on both sides and a fusion has every part that there is.
    assert paths().keys() == leaves(FUSION.to_dict()) - {"seed", "stage", "averages"}
    assert (paths()["train.lr"], paths()["model.units.attach"]) == (float, tuple[int, ...])


def test_a_spec_has_what_its_model_is_made_of() -> None:
    assert has(ME_CNN, "model.units.heads") and not has(ME_CNN, "model.textual_units.heads")
    assert has(FUSION, "model.textual_units.heads") and has(FUSION, "model.fusion.kind")
    assert not has(ME_CNN, "model.fusion.kind")
    assert has(BERT, "model.textual") and not has(BERT, "model.visual")
    assert has(BERT, "data.splits") and has(BERT, "train.weight_decay")  # "" and 0 are values
    with pytest.raises(ValueError, match=r"unknown path 'model\.units\.size'"):
        has(BERT, "model.units.size")


def test_values_are_those_of_the_fields() -> None:
    assert value_at(ME_CNN, "model.units.attach") == (1, 2, 3, 4)
    assert value_at(ME_CNN, "train.lr") == ME_CNN.train.lr
    assert value_at(BERT, "model.visual") is None
    with pytest.raises(
        ValueError, match=r"model 'bert' has no model\.units, got 'model\.units\.d_k'"
    ):
        value_at(BERT, "model.units.d_k")


@pytest.mark.parametrize(
    ("path", "legal"),
    [
        ("train.rate", "legal: train.lr, train.batch_size, train.epochs, .*train.micro_batch$"),
        ("lr", "legal: train.lr$"),
        ("units.heads", "legal: model.units.heads, model.textual_units.heads$"),
        ("model.unit.atach", r"legal: model\.units\.attach, "),
        ("model.units", "is a part of several fields; legal: model.units.attach, .*lr_multipl"),
        ("seed", "legal: data.name, .*, train.micro_batch$"),
        ("", "legal: data.name, .*, train.micro_batch$"),
    ],
)
def test_an_unknown_path_is_told_what_may_be_meant(path: str, legal: str) -> None:
    with pytest.raises(ValueError, match=legal) as refused:
        check_path(path)
    assert repr(path) in str(refused.value)


def test_replaced_values_are_there_and_nothing_else_changes() -> None:
    values = {"train.lr": 0.5, "model.units.heads": 2, "model.units.d_k": 3, "data.limit": 7}
    plain = ME_CNN.to_dict()
    plain["train"]["lr"], plain["data"]["limit"] = 0.5, 7
    plain["model"]["units"] |= {"heads": 2, "d_k": 3}
    assert replaced(ME_CNN, values) == TrialSpec.from_dict(plain)
    assert replaced(ME_CNN, {}) == ME_CNN


def test_values_that_are_legal_only_together_are_replaced_together() -> None:
    # 8 heads divide the 16^2 and 8^2 cells of blocks 1 and 2, not the 2^2 of block 4.
    together = {"model.units.heads": 8, "model.units.attach": (1, 2)}
    assert value_at(replaced(ME_CNN, together), "model.units.heads") == 8
    with pytest.raises(ValueError, match="8 does not divide 4"):
        replaced(ME_CNN, {"model.units.heads": 8})
    # Across parts: 256 px have 8^2 cells in the last block.
    wide = replaced(ME_CNN, {"data.image_size": 256, "model.units.heads": 8})
    assert wide.data.image_size == 256
    # Within one part: a fusion of another kind has no such option.
    own = replaced(FUSION, {"model.fusion.kind": "cross_attention", "model.fusion.gates": "own"})
    assert own.model.fusion and own.model.fusion.gates == "own"
    with pytest.raises(ValueError, match="`gates` is an option of cross_attention"):
        replaced(own, {"model.fusion.kind": "concat"})


def test_what_cannot_be_replaced_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model 'bert' has no model\.units"):
        replaced(BERT, {"model.units.d_k": 8})
    with pytest.raises(ValueError, match=r"unknown path 'train\.rate'"):
        replaced(BERT, {"train.rate": 1})
    with pytest.raises(ValueError, match="is a part of several fields"):
        replaced(ME_CNN, {"model.units": None})
    with pytest.raises(TypeError, match=r"UnitSpec\.heads must be"):
        replaced(ME_CNN, {"model.units.heads": "many"})


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("train.lr", "3e-5", 3e-5),
        ("train.lr", "1", 1.0),
        ("train.batch_size", "64", 64),
        ("data.fix_mojibake", "true", True),
        ("data.fix_mojibake", "false", False),
        ("model.units.query_kernel", "5", 5),
        ("model.units.init", "gate", "gate"),
        ("model.units.attach", "1,2,4", (1, 2, 4)),
        ("model.units.attach", "1-4", (1, 2, 3, 4)),
        ("model.units.attach", "1-3,6", (1, 2, 3, 6)),
        ("model.units.attach", "12", (12,)),
        ("model.visual", "None", None),
        ("model.visual", "timm:resnet18", "timm:resnet18"),
        ("data.splits", "None", "None"),  # a folder of that name: the field is always there
        ("data.splits", "", ""),
    ],
)
def test_texts_are_read_by_the_type_of_the_field(path: str, text: str, value: Any) -> None:
    found = parsed(path, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("path", "text", "legal"),
    [
        ("train.lr", "fast", "a number such as 3e-5"),
        ("train.lr", "inf", "a number such as 3e-5"),
        ("train.lr", "nan", "a number such as 3e-5"),
        ("train.batch_size", "64.0", "a whole number"),
        ("data.fix_mojibake", "1", "true or false"),
        ("model.units.query_kernel", "4", "one of 1, 3, 5, 7"),
        ("model.units.query_kernel", "3.0", "one of 1, 3, 5, 7"),
        ("model.units.init", "None", "one of default, zero_value, gate"),
        ("model.units.attach", "4-1", "numbers and ranges such as 1,3 or 1-3,6"),
        ("model.units.attach", "", "numbers and ranges such as 1,3 or 1-3,6"),
        ("model.units.attach", "(1, 2)", "numbers and ranges such as 1,3 or 1-3,6"),
    ],
)
def test_a_bad_text_names_the_path_and_what_is_legal(path: str, text: str, legal: str) -> None:
    with pytest.raises(ValueError) as refused:
        parsed(path, text)
    assert str(refused.value) == f"{path} must be {legal}, but got {text!r}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-05, "3e-05"),
        (True, "true"),
        (8, "8"),
        (None, "None"),
        ((1, 2, 3, 6), "1-3,6"),
        ((1, 3), "1,3"),
        ((2,), "2"),
    ],
)
def test_values_are_shown_shortly(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("spec", [ME_CNN, FUSION, BERT], ids=["me_cnn", "me_fusion", "bert"])
def test_what_is_shown_reads_back(spec: TrialSpec) -> None:
    rough = replace(spec, train=replace(spec.train, lr=0.1 + 0.2))  # 0.30000000000000004
    texts = {path: shown(value_at(rough, path)) for path in paths() if has(rough, path)}
    assert {path: parsed(path, text) for path, text in texts.items()} == {
        path: value_at(rough, path) for path in texts
    }
