"""Filters of rows and trials: what terms mean, and what a mistake is told."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from mi2p.averages import with_parts
from mi2p.filters import chosen_rows, chosen_trials, parse_filter
from mi2p.methods import METHODS
from sweeps import ablation_backbones, ablation_layers, compare_crisismmd

LAYERS = ablation_layers.plan(ablation_layers.Options())
CRISIS = compare_crisismmd.plan(compare_crisismmd.Options())


def keys(*filters: str) -> list[str]:
    return [row.key for row in chosen_rows(LAYERS, filters)]


def test_rows_are_chosen_by_key_in_the_tables_order() -> None:
    assert keys("me_bert-1-6", "cnn") == ["cnn", "me_bert-1-6"]
    assert chosen_rows(LAYERS, ()) == LAYERS.rows


def test_keys_are_patterns_and_an_exact_key_is_itself() -> None:
    assert keys("me_cnn-?") == [f"me_cnn-{n}" for n in (1, 2, 3, 4)]
    assert keys("*-1-4", "[b]ert") == ["me_cnn-1-4", "bert"]
    backbones = ablation_backbones.plan(
        ablation_backbones.Options(backbones=("densenet121", "minilm", "xlnet-base-cased"))
    )
    for plan in (LAYERS, CRISIS, backbones):
        every = [row.key for row in plan.rows]
        for key in every:
            assert [other for other in every if fnmatchcase(other, key)] == [
                other for other in every if other == key
            ]


def test_a_key_chooses_the_rows_of_all_data_sets() -> None:
    chosen = chosen_rows(CRISIS, ("gmu",))
    assert [row.dataset for row in chosen] == [f"crisismmd_task{n}" for n in (1, 2, 3)]
    (one,) = chosen_rows(CRISIS, ("dataset=*3,gmu",))
    assert one.dataset == "crisismmd_task3"
    assert len(chosen_rows(CRISIS, ("dataset=*[13]", "gmu"))) == 2 * 18 + 1


def test_values_of_the_spec_choose_rows() -> None:
    concat = {row.key for row in chosen_rows(CRISIS, ("model.fusion.kind=concat",))}
    assert concat == {"feature_concat", "me_feature_concat"}
    visual = [row.key for row in LAYERS.rows if "cnn" in row.key]
    assert keys("train.lr=3e-4") == keys("train.lr=0.0003") == visual
    assert keys("model.textual=None") == ["cnn"]
    rates = {row.dataset: row.specs[0].train.lr for row in CRISIS.rows}
    of_rate = chosen_rows(CRISIS, (f"train.lr={rates['crisismmd_task2']}",))
    assert {row.dataset for row in of_rate} == {"crisismmd_task2"}


def test_all_terms_of_a_filter_hold_and_any_filter_may() -> None:
    assert keys("me_*,train.lr=3e-4") == [key for key in keys("train.lr=3e-4") if "me" in key]
    assert keys("me_*,model.units.init=zero_value", "bert") == [*keys("me_cnn*"), "bert"]


def test_numbers_after_a_comma_go_on_with_a_list() -> None:
    assert keys("model.units.attach=1,2,3,4,me_cnn*") == ["me_cnn-1-4"]
    assert keys("me_cnn*,model.units.attach=1-3,4") == ["me_cnn-1-4"]
    assert keys("model.units.attach=2") == ["me_cnn-2"]
    found = chosen_trials(LAYERS, ("seed=0,2,cnn",))
    assert [spec.seed for spec in found] == [0, 2]


def test_an_average_has_no_training() -> None:
    lr = {row.specs[0].train.lr for row in CRISIS.rows if row.key == "score_fusion"}
    for value in lr:
        assert "score_fusion" not in {r.key for r in chosen_rows(CRISIS, (f"train.lr={value}",))}
    scores = {row.key for row in chosen_rows(CRISIS, ("model.fusion.kind=score",))}
    assert scores == {"score_fusion", "me_score_fusion"}


def test_a_filter_for_nothing_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match="--rows: no row 'me_cnn-5'; the rows are cnn, me_cnn-1"):
        chosen_rows(LAYERS, ("cnn", "me_cnn-5"))
    with pytest.raises(ValueError, match=r"no row 'GMU'; the rows are cnn, bert, [^c]") as refused:
        chosen_rows(CRISIS, ("GMU",))
    assert str(refused.value).count("centralnet") == 1  # each key once
    with pytest.raises(ValueError, match="; the data sets are crisismmd_task1, crisismmd_task2, "):
        chosen_rows(CRISIS, ("dataset=food101",))
    with pytest.raises(ValueError, match=r"; train.lr is 0\.0003 or 0\.0001$"):
        chosen_rows(LAYERS, ("train.lr=1",))
    with pytest.raises(ValueError, match=r"; no row has model.fusion.kind$"):
        chosen_rows(LAYERS, ("model.fusion.kind=gmu",))
    with pytest.raises(ValueError, match=r"^--print-command: no row 'x'"):
        chosen_rows(LAYERS, ("x",), "--print-command")


def test_rows_have_no_seeds() -> None:
    with pytest.raises(ValueError, match=r"--rows: a row .* but got 'cnn,seed=0'; --seeds says"):
        chosen_rows(LAYERS, ("cnn,seed=0",))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "empty term; a term is a pattern of a row's key"),
        ("cnn,,bert", "empty term"),
        ("rate=1", r"'rate'.*dataset=PATTERN, seed=NUMBERS such as 0-2, or PATH=VALUE"),
        ("train.rate=1", r"filter 'train.rate=1': .*train\.lr"),
        ("train.lr=fast", "filter 'train.lr=fast': .*train.lr.*'fast'"),
        ("model.fusion.kind=gmu2", "cross_attention"),
        ("seed=x", "a seed is 0, 0-2 or 0,2 but got 'x'"),
        ("seed=", "a seed is 0, 0-2 or 0,2 but got ''"),
        ("seed=0,3-1", "a seed is 0, 0-2 or 0,2 but got '0,3-1'"),
    ],
)
def test_what_is_no_filter_is_told_what_is_legal(wrong: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_filter(wrong)


def test_trials_are_chosen_by_seed_each_once() -> None:
    assert chosen_trials(LAYERS, ()) == ()
    one = chosen_trials(LAYERS, ("me_cnn-1-4,seed=1-2",))
    (row,) = chosen_rows(LAYERS, ("me_cnn-1-4",))
    assert one == row.specs[1:]
    every = chosen_trials(LAYERS, ("*", "cnn", "seed=0"))
    assert every == tuple(LAYERS.specs())
    with pytest.raises(
        ValueError, match=r"--force: no trial 'seed=7'; .*; the seeds are 0, 1, 2$"
    ):
        chosen_trials(LAYERS, ("seed=7",))


def test_the_row_of_an_average_is_enough_to_run_its_parts() -> None:
    (row,) = chosen_rows(CRISIS, ("score_fusion,dataset=crisismmd_task2",))
    parts = chosen_rows(CRISIS, ("cnn,dataset=*2", "bert,dataset=*2"))
    assert set(with_parts(CRISIS, [row])) == {s.trial_id for r in (row, *parts) for s in r.specs}
    assert set(METHODS["score_fusion"].averages) == {r.key for r in parts}
