from __future__ import annotations

from dataclasses import replace
from typing import Any

from analysis.cells import select
from analysis.notes import footnotes, listing, runs
from mi2p.plan import Plan
from mi2p.spec import DataSpec, ModelSpec
from mi2p.store import load


def test_the_caption_says_seeds_and_what_the_deviation_is(lab: Any) -> None:
    plan = lab.plan(seeds=(0, 1, 4))
    assert runs(plan, {"openclipart": 439}) == (
        "Mean over 3 seeds (0, 1, 4) on the test split of openclipart (439 examples); "
        "± is the sample standard deviation over seeds."
    )
    assert runs(lab.plan(seeds=(7,))) == "One seed (7) on the test split of openclipart."
    uneven = replace(plan, rows=(lab.plan(seeds=(7,)).rows[0], *plan.rows[1:]))
    assert "seeds of each row (up to 3, among 0, 1, 4, 7)" in runs(uneven)


def test_the_caption_names_every_data_set(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    both = replace(plan, rows=(*plan.rows, *lab.on("openclipart-tags").plan(seeds=(0,)).rows))
    assert runs(both, {"openclipart-tags": 323}) == (
        "One seed (0) on the test splits of openclipart and openclipart-tags (323 examples)."
    )
    assert listing(["a", "b", "c"]) == "a, b and c"


def test_missing_failed_and_several_devices_are_told(lab: Any) -> None:
    plan = lab.plan()
    for row in plan.rows:
        lab.fill(row, [0.6, 0.6, 0.6])
    assert footnotes(select(plan, load(lab.results))) == []

    lab.trial(plan.rows[0].specs[0], {"accuracy": 0.6}, device="NVIDIA A100")
    lab.trial(plan.rows[1].specs[2], {}, status="error")
    missing, failed, devices = footnotes(select(plan, load(lab.results)))
    assert missing == "(n/want): only n of the wanted seeds are finished; --: none."
    assert failed == ("Failed trials, which enter no mean: 1 (1 of DenseNet-121 + MI2P{1-4}).")
    assert devices == "Trials ran on several devices: NVIDIA A100, cpu."


def notes(lab: Any, plan: Plan) -> list[str]:
    return footnotes(select(plan, load(lab.results)))


def test_examples_that_were_left_out_are_counted_and_their_list_is_named(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for row in plan.rows:
        lab.fill(row, [0.6], images_left_out=0)
    assert notes(lab, plan) == []

    for row in plan.rows[1:]:  # the first row's column is null: it was written before the count
        lab.fill(row, [0.6], images_left_out=3, data_fingerprint="beef")
    lab.fill(plan.rows[0], [0.6], images_left_out=None, data_fingerprint="beef")
    assert notes(lab, plan) == [
        "3 examples whose image cannot be used are left out (bad_images/beef.csv beside the "
        "results)."
    ]


def test_one_example_that_was_left_out(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    for row in plan.rows:
        lab.fill(row, [0.6], images_left_out=1)
    (note,) = notes(lab, plan)
    assert note.startswith("1 example whose image cannot be used is left out")


def test_only_finished_trials_left_out_examples(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    lab.fill(plan.rows[0], [0.6])
    lab.trial(plan.rows[1].specs[0], {}, status="error", images_left_out=3)
    assert not any("cannot be used" in note for note in notes(lab, plan))


def test_rows_whose_texts_are_shorter_are_told_with_the_reason_if_it_is_one(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    cnn, me_cnn, bert, me_bert = plan.rows

    def reading(row: Any, model: ModelSpec, tokens: int) -> Any:
        data = DataSpec(name=lab.dataset, max_tokens=tokens)
        specs = tuple(replace(spec, model=model, data=data) for spec in row.specs)
        return replace(row, specs=specs)

    # A CNN alone reads no text, so that its length is nobody's business.
    rows = (reading(cnn, cnn.specs[0].model, 100), *(
        reading(row, row.specs[0].model, 300) for row in (me_cnn, me_bert)
    ))  # fmt: skip
    for row in (*rows, bert):
        lab.fill(row, [0.6])
    assert notes(lab, replace(plan, rows=rows)) == []

    shorter = reading(bert, bert.specs[0].model, 200)
    lab.fill(shorter, [0.6])
    chosen = ["Texts are cut at 300 word pieces, but at 200 in MiniLM."]
    assert notes(lab, replace(plan, rows=(*rows, shorter))) == chosen

    tiny = reading(bert, replace(bert.specs[0].model, textual="tiny_bert"), 64)
    lab.fill(tiny, [0.6])
    forced, _ = notes(lab, replace(plan, rows=(*rows, tiny)))
    assert forced == (
        "Texts are cut at 300 word pieces, but at 64 in MiniLM (their encoders take no more)."
    )


def test_random_backbones_are_told_also_when_they_are_only_looked_at(lab: Any) -> None:
    plan = lab.plan(seeds=(0,))
    row = plan.rows[1]
    model = replace(row.specs[0].model, textual="tiny_bert")
    row = replace(row, specs=tuple(replace(spec, model=model) for spec in row.specs))
    lab.fill(plan.rows[0], [0.6])
    lab.fill(row, [0.6])
    assert notes(lab, replace(plan, rows=(plan.rows[0], row))) == [
        "Not pretrained: tiny random BERT. Rows with them only show that the path works, their "
        "numbers say nothing."
    ]
