"""Which attachments and heads are legal, and what the refusals name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mi2p.legality import legal_heads, require
from mi2p.spec import DataSpec, FusionSpec, ModelSpec, TrainSpec, TrialSpec, UnitSpec

BASE = TrialSpec(
    data=DataSpec(image_size=256),
    model=ModelSpec(
        name="me_cnn", visual="densenet121", textual="minilm", units=UnitSpec(attach=(1,))
    ),
    train=TrainSpec(lr=1e-4, epochs=3),
)


def test_a_refusal_states_the_rule_and_the_values() -> None:
    require(True, "x > 0", x=1)
    with pytest.raises(ValueError, match="`x > 0` must hold, but got x=-1, y='a'"):
        require(False, "x > 0", x=-1, y="a")


def me_cnn(*, image_size: int, **units: Any) -> TrialSpec:
    model = replace(BASE.model, units=UnitSpec(**units))
    return replace(BASE, data=DataSpec(image_size=image_size), model=model)


def test_heads_that_do_not_divide_the_cells_name_what_is_legal() -> None:
    # 8 heads on all four blocks do not exist at 224 px: 7 x 7 = 49 cells in the last.
    with pytest.raises(ValueError) as refused:
        me_cnn(image_size=224, attach=(1, 2, 3, 4))
    assert str(refused.value) == (
        "heads must divide h*w at every attached block: 8 does not divide 49 (block 4 at 224 px); "
        "legal at 224 px: 1, 7; 8 is legal at 256 px"
    )
    me_cnn(image_size=256, attach=(1, 2, 3, 4))


@pytest.mark.parametrize("heads", [1, 7])
def test_the_counts_that_the_message_names_are_legal(heads: int) -> None:
    me_cnn(image_size=224, attach=(1, 2, 3, 4), heads=heads)


def test_only_attached_blocks_restrict_the_heads() -> None:
    me_cnn(image_size=224, attach=(1, 2))  # 56^2 and 28^2 cells: 8 divides both
    with pytest.raises(ValueError, match=r"8 does not divide 196 \(block 3 at 224 px\)"):
        me_cnn(image_size=224, attach=(1, 3))


def test_project_lifts_the_rule_on_heads() -> None:
    me_cnn(image_size=224, attach=(1, 2, 3, 4), head_mode="project")


def test_every_refused_count_names_a_size_at_which_it_is_legal() -> None:
    for heads in range(2, 17):
        try:
            me_cnn(image_size=32, attach=(1, 2, 3, 4), heads=heads)
        except ValueError as error:
            size = int(str(error).rpartition(" is legal at ")[2].removesuffix(" px"))
            me_cnn(image_size=size, attach=(1, 2, 3, 4), heads=heads)
            assert all(
                (smaller // 32) ** 2 % heads for smaller in range(32, size, 32)
            )  # block 4 has the fewest cells: no smaller size would do
        else:
            pytest.fail(f"{heads} heads cannot divide the single cell of block 4")


@pytest.mark.parametrize("image_size", [32, 64, 128, 160, 224, 256])
@pytest.mark.parametrize("attach", [(1,), (4,), (1, 3), (1, 2, 3, 4)])
def test_the_legal_counts_are_those_with_which_a_trial_can_be_declared(
    image_size: int, attach: tuple[int, ...]
) -> None:
    def declared(heads: int) -> bool:
        try:
            me_cnn(image_size=image_size, attach=attach, heads=heads)
        except ValueError:
            return False
        return True

    one = UnitSpec(attach=attach, heads=1)
    legal = legal_heads(BASE.model, one, "visual", image_size)
    assert legal == tuple(h for h in range(1, 17) if declared(h))
    more = legal_heads(BASE.model, one, "visual", image_size, most=70)
    assert more == tuple(h for h in range(1, 71) if declared(h))


def test_the_legal_counts_by_hand() -> None:
    every, last = UnitSpec(attach=(1, 2, 3, 4), heads=1), UnitSpec(attach=(4,), heads=1)
    assert legal_heads(BASE.model, every, "visual", 224) == (1, 7)  # 49 cells in block 4
    assert legal_heads(BASE.model, every, "visual", 256) == (1, 2, 4, 8, 16)  # 64
    assert legal_heads(BASE.model, last, "visual", 32) == (1,)
    projected = replace(every, head_mode="project")
    assert legal_heads(BASE.model, projected, "visual", 224, most=3) == (1, 2, 3)
    assert legal_heads(BASE.model, every, "textual", 224) == (1, 2, 3, 4, 6, 8, 12, 16)  # 384
    assert legal_heads(BASE.model, projected, "textual", 224, most=5) == (1, 2, 3, 4)


@pytest.mark.parametrize("head_mode", ["strict", "project"])
def test_heads_of_me_bert_divide_the_width(head_mode: str) -> None:
    # A text's width is a free choice of the encoder, so `project` does not apply to it.
    units = UnitSpec(attach=(1,), heads=5, head_mode=head_mode)  # type: ignore[arg-type]
    model = replace(BASE.model, name="me_bert", units=units)
    with pytest.raises(ValueError) as refused:
        replace(BASE, model=model)
    assert str(refused.value) == (
        "heads must divide the width of the textual backbone: 5 does not divide 384 (minilm); "
        "legal: 1, 2, 3, 4, 6, 8, 12, 16"
    )


def test_heads_of_me_bert_ignore_the_map() -> None:
    # 12 heads do not divide any map of 128 px; they need not.
    model = replace(BASE.model, name="me_bert", units=UnitSpec(attach=(6,), heads=12))
    replace(BASE, model=model)
    with pytest.raises(ValueError, match="attach <= 6 for minilm"):
        replace(BASE, model=replace(model, units=UnitSpec(attach=(7,), heads=12)))


@pytest.mark.parametrize(
    ("name", "textual", "legal"),
    [
        (
            "mmbt",
            "tiny_xlnet",
            "the transformer of 'mmbt' is one of bert-base-uncased, minilm, tiny_bert",
        ),
        (
            "pixelbert",
            "tiny_clip_text",
            "the transformer of 'pixelbert' is one of bert-base-uncased, minilm, tiny_bert",
        ),
        ("visualbert", "tiny_xlnet", "one of .*tiny_bert, visualbert-vqa-coco-pre"),
        ("vilt", "visualbert-vqa-coco-pre", "one of .*tiny_bert, vilt-b32-mlm"),
        ("bert", "vilt-b32-mlm", "one of .*minilm, xlnet-base-cased, clip_text"),
        ("fusion", "visualbert-vqa-coco-pre", "one of .*minilm, xlnet-base-cased, clip_text"),
    ],
)
def test_a_transformer_of_another_family_is_refused(name: str, textual: str, legal: str) -> None:
    model = ModelSpec(
        name=name,  # type: ignore[arg-type]
        visual=None if name in ("bert", "vilt") else "densenet121",
        textual=textual,
        fusion=FusionSpec(kind="concat") if name == "fusion" else None,
    )
    with pytest.raises(ValueError, match=legal):
        replace(BASE, model=model)


def test_a_checkpoint_wants_the_channels_it_was_pretrained_on() -> None:
    model = ModelSpec(name="visualbert", visual="resnet50", textual="visualbert-vqa-coco-pre")
    replace(BASE, model=model)
    with pytest.raises(ValueError, match=r"has 2048 channels.*channels=1024"):
        replace(BASE, model=replace(model, visual="densenet121"))
