from __future__ import annotations

import pytest

from tests.bench.equal_tables import Setting, best_alone, calls, table

TABLES = 1000


def test_methods_are_equally_good_unless_the_first_gains() -> None:
    setting = Setting(rows=3, examples=20_000, gain=0.1)
    right = [1 - (of.wrong > 0).mean() for of in table(setting, 0).values()]
    assert right == pytest.approx([0.8, 0.7, 0.7], abs=0.02)


def test_a_gain_is_found_and_nothing_in_some_equal_tables() -> None:
    assert calls(Setting(rows=2, gain=0.2), 5).against == 1
    assert calls(Setting(rows=4), 10).against <= 0.2


def test_with_one_seed_each_nothing_is_called_different() -> None:
    found = calls(Setting(rows=6, seeds=1, luck=0.3), 3)
    assert (found.against, found.not_bold) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [Setting(), Setting(luck=0.1), Setting(luck=0.0), Setting(rows=6, unstable=0.1)],
    ids=["18 rows", "of unstable seeds", "of stable seeds", "6 rows, one of unstable seeds"],
)
def test_of_1000_tables_of_equal_methods_at_most_5_percent_call_one_different(
    setting: Setting,
) -> None:
    found = calls(setting, TABLES)
    assert found.against <= 0.05
    assert found.not_bold <= 0.05
    assert 0.01 < found.first_pair < 0.06  # and the test is not idle
    assert 0.94 < found.covered < 0.98


@pytest.mark.slow
def test_the_same_of_macro_f1() -> None:
    found = calls(Setting(), TABLES, metric="macro_f1")
    assert found.against <= 0.05
    assert found.not_bold <= 0.05


@pytest.mark.slow
def test_adjusting_for_the_pairs_of_the_best_row_alone_would_not_do() -> None:
    assert best_alone(Setting(), 300) > 0.07
