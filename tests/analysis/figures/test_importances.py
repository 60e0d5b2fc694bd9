from __future__ import annotations

import warnings
from pathlib import Path

import optuna
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from analysis.evaluators import importances as importances_of
from analysis.figures import importances
from mi2p.plan import Plan, PlanRow
from mi2p.search.storage import JOURNAL, open_storage
from tests import a_search
from tests.analysis.conftest import CNN, ME_CNN, Lab
from tests.analysis.figures.conftest import Remember, assert_readable

RATES = FloatDistribution(1e-5, 1e-3, log=True)


def study(results: Path, name: str, count: int, *, heads: bool = False) -> optuna.Study:
    """The rate decides; the batch size does not. Every other trial has no choice of heads."""
    made = optuna.create_study(
        storage=open_storage(None, results), study_name=name, direction="maximize"
    )
    made.set_user_attr("declared", {})
    made.set_metric_names(["val/accuracy"])
    for number in range(count):
        params = {"train.lr": 10 ** (-5 + 2 * number / count), "train.batch_size": 16}
        drawn = {"train.lr": RATES, "train.batch_size": CategoricalDistribution((16, 32))}
        if heads and number % 2:
            params["model.units.heads in 1 2"] = 1 + number % 4 // 2
            drawn["model.units.heads in 1 2"] = CategoricalDistribution((1, 2))
        if number % 3:
            params["train.batch_size"] = 32
        made.add_trial(
            create_trial(
                value=-abs(number - count / 2) / count,
                params=params,
                distributions=drawn,
                user_attrs={"trial_id": f"{name}{number}"},
            )
        )
    return made


def row(lab: Lab, name: str, *, units: bool = False) -> PlanRow:
    model = ME_CNN if units else CNN
    made = lab.row(name, f"Row {name}", model, seeds=(0,))
    return a_search.searched(made, study=name)


def plan(*rows: PlanRow) -> Plan:
    return Plan(name="models-lab", table=0, rows=rows)


def widths(made: Figure) -> dict[tuple[str, float], float]:
    """By the name and the side of a bar, its length."""
    (axes,) = made.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    return {
        (names[round(bar.get_y() + bar.get_height() / 2)], to_rgb(bar.get_facecolor())[0]):
        bar.get_width()
        for bar in bars
    }  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> None:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def test_bars_are_the_shares_of_both_evaluators(lab: Lab, remember: Remember) -> None:
    kept = remember(importances)
    made = study(lab.results, "one", 20, heads=True)
    journal = lab.results / JOURNAL
    before = journal.read_bytes()
    (one,) = importances.draw(lab.results, plan(row(lab, "one", units=True)))
    assert journal.read_bytes() == before
    assert one.name == "models-lab-importances-one"
    found = widths(kept[0])
    blue, orange = 0, 230 / 255
    for evaluator, red in (("ped_anova", blue), ("fanova", orange)):
        for path, share in importances_of(made, evaluator).shares["val/accuracy"].items():
            name = path.rpartition(".")[2].replace("_", " ")
            assert found[name, red] == pytest.approx(100 * share)
    # fANOVA takes only what all have.
    assert ("heads", blue) in found and ("heads", orange) not in found
    assert [text.get_text() for text in kept[0].axes[0].texts] == ["not covered"]
    assert kept[0].axes[0].get_xlabel() == "importance for validation accuracy (%)"
    assert "from 20 finished configurations" in one.caption
    assert one.alternative.endswith("by PED-ANOVA lr and fANOVA lr.")
    assert_readable(kept[0])


def test_studies_without_enough_trials_are_in_the_first_caption(
    lab: Lab, remember: Remember
) -> None:
    remember(importances)
    study(lab.results, "few", 9)
    study(lab.results, "many", 12)
    rows = (row(lab, "few"), row(lab, "many"), row(lab, "lost"))
    (one,) = importances.draw(lab.results, plan(*rows))
    assert one.name == "models-lab-importances-many"
    told = one.caption.partition(" Not shown: ")[2]
    assert told == (
        "Row few (importances need at least 10 finished configurations, but the study 'few' has "
        "9); Row lost, whose study is not kept here."
    )
    assert importances.draw(lab.results, plan(row(lab, "few"))) == []


def test_without_searches_or_their_storage_there_is_no_figure(lab: Lab) -> None:
    assert importances.draw(lab.results, lab.plan()) == []
    assert importances.draw(lab.results, plan(row(lab, "one"))) == []
    assert not lab.results.exists()


def test_a_layer_is_named_with_its_number(lab: Lab, remember: Remember) -> None:
    kept = remember(importances)
    made = optuna.create_study(
        storage=open_storage(None, lab.results), study_name="layers", direction="maximize"
    )
    made.set_user_attr("declared", {})
    choice = CategoricalDistribution((False, True))
    for number in range(16):
        made.add_trial(
            create_trial(
                value=float(number % 2) + number / 100,
                params={
                    f"model.units.attach.{tap}": bool(number >> (tap - 1) & 1) for tap in (1, 2)
                },
                distributions=dict.fromkeys(
                    ("model.units.attach.1", "model.units.attach.2"), choice
                ),
                user_attrs={"trial_id": str(number)},
            )
        )
    (one,) = importances.draw(lab.results, plan(row(lab, "layers", units=True)))
    names = [label.get_text() for label in kept[0].axes[0].get_yticklabels()]
    assert sorted(names) == ["unit at layer 1", "unit at layer 2"]
    assert "fANOVA unit at layer 1" in one.alternative
