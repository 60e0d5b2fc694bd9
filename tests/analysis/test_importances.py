"""The tables of importances, and their command line on studies in a storage."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from analysis.evaluators import Importances
from analysis.importances import main, read_studies, table, write
from mi2p.search.storage import JOURNAL, open_storage

NAME = "openclipart me_cnn tiny_densenet+tiny_bert tpe 0123abcd"
STEM = "importances-openclipart-me_cnn-tiny_densenet-tiny_bert-tpe-0123abcd"
FOUND = Importances(
    study=NAME,
    evaluator="fanova",
    used=20,
    left_out={"pruned": 3, "failed": 1},
    shares={
        "val/accuracy": {"train.lr": 0.75, "train.weight_decay": 0.25},
        "added_parameters": {"train.weight_decay": 0.5, "train.lr": 0.5},
    },
    drawn={"train.weight_decay": 20, "model.units.attach.4": 17, "train.lr": 20},
)
MARKDOWN = """\
Importances of hyper-parameters in the study openclipart me_cnn tiny_densenet+tiny_bert tpe \
0123abcd by fANOVA, in percent of their sum: which part of the variance of a random forest, \
fitted to 20 finished configurations, is that of each alone.

| Hyper-parameter      | for val/accuracy (%) | for added_parameters (%) | trials |
| -------------------- | -------------------: | -----------------------: | -----: |
| train.lr             |                 75.0 |                     50.0 |     20 |
| train.weight_decay   |                 25.0 |                     50.0 |     20 |
| model.units.attach.4 |                   -- |                       -- |     17 |

- trials: configurations that have it. Those tried were not drawn evenly, unless at random, and \
of few configurations importances are rough.
- Left out: 3 pruned, 1 failed.
- --: fANOVA takes only what all finished configurations choose from the same values \
(model.units.attach.4 is not); ped_anova takes all.
"""


def store(results: Path, name: str, count: int, uri: str | None = None) -> None:
    """A study as a sweep keeps it: the rate decides, `train.batch_size` does not."""
    study = optuna.create_study(
        storage=open_storage(uri, results), study_name=name, direction="maximize"
    )
    study.set_user_attr("declared", {})
    for number in range(count):
        study.add_trial(
            create_trial(
                value=-abs(number - count / 2) / count,
                params={"train.lr": 10 ** (-5 + 2 * number / count), "train.batch_size": 16},
                distributions={
                    "train.lr": FloatDistribution(1e-5, 1e-3, log=True),
                    "train.batch_size": CategoricalDistribution((16, 32)),
                },
                user_attrs={"trial_id": f"{name}{number}"},
            )
        )
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"trial_id": "pruned"}))


def test_the_table_says_what_was_used_and_what_was_left_out(tmp_path: Path) -> None:
    tex, md, _, made = write(tmp_path, FOUND)
    assert md == tmp_path / "tables" / f"{STEM}-fanova.md"
    assert md.read_text(encoding="utf-8") == MARKDOWN
    with made.open(encoding="utf-8") as file:
        first, *_, last = csv.DictReader(file)
    assert first == {
        "study": NAME,
        "evaluator": "fanova",
        "parameter": "train.lr",
        "trials": "20",
        "of": "20",
        "val/accuracy": "75.0",
        "added_parameters": "50.0",
    }
    assert (last["parameter"], last["val/accuracy"]) == ("model.units.attach.4", "")
    assert r"openclipart me\_cnn tiny\_densenet+tiny\_bert" in tex.read_text(encoding="utf-8")


def test_ped_anova_says_how_many_are_the_best() -> None:
    found = Importances(
        study=NAME,
        evaluator="ped_anova",
        used=73,
        left_out={},
        shares={"val/accuracy": {"train.lr": 1.0}},
        drawn={"train.lr": 73},
    )
    made = table(found)
    assert "tells the best 8 of 73 finished configurations" in made.caption  # a tenth is 7.3
    assert len(made.footnotes) == 1


@pytest.mark.parametrize("uri", [None, "other.journal", "sqlite:///own.db"])
def test_a_command_writes_the_studies_that_match(
    uri: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    results = Path("results")
    store(results, NAME, 20, uri)
    store(results, "openclipart bert tiny_bert tpe 4567cdef", 9, uri)
    others = optuna.create_study(storage=open_storage(uri, results), study_name="not ours")
    others.add_trial(create_trial(value=1))
    given = ["--storage", uri] if uri else []
    main(["results", *given, "--study", "*"])
    shown = capsys.readouterr()
    assert f"results/tables/{STEM}-ped_anova.md" in shown.out
    assert "| train.lr " in shown.out and "- Left out: 1 pruned." in shown.out
    assert "4567cdef" not in shown.out
    assert "note: importances need at least 10 finished configurations" in shown.err
    assert len(list((results / "tables").iterdir())) == 4

    with pytest.raises(SystemExit, match=r"error: importances need at least 10.* has 9"):
        main(["results", *given, "--study", "* bert *"])
    with pytest.raises(SystemExit, match=rf"got 'me_bert'; there: {NAME[:20]}.*; openclipart be"):
        main(["results", *given, "--study", "me_bert"])


@pytest.mark.parametrize("uri", [None, "own.journal", "sqlite:///own.db"])
def test_looking_for_studies_makes_no_storage(
    uri: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no studies in .*; run a sweep with --search N"):
        read_studies(Path("results"), uri, "*")
    assert list(tmp_path.iterdir()) == []


def test_the_script_leaves_the_journal_as_it_is(tmp_path: Path) -> None:
    store(tmp_path / "results", NAME, 12)
    journal = tmp_path / "results" / JOURNAL
    before = journal.read_bytes()
    script = Path(__file__).resolve().parents[2] / "analysis" / "importances.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--evaluator", "mdi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert f"results/tables/{STEM}-mdi.tex" in ran.stdout
    assert journal.read_bytes() == before


@pytest.mark.slow
def test_the_latex_compiles_with_booktabs_alone_and_fits(
    tmp_path: Path, compiles: Callable[[Path, str], None]
) -> None:
    page = r"\documentclass[twocolumn]{article}\textwidth 6.875in"
    compiles(write(tmp_path, FOUND)[0], page)
