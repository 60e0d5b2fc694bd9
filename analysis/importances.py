"""Which hyper-parameters mattered in the searches.

`python analysis/importances.py [results] [--study PATTERN] [--evaluator NAME]` writes
`results/tables/importances-<study>-<evaluator>.{tex,md,html,csv}` of every study that the pattern
holds of. A search may be running meanwhile. What evaluators say is in `analysis/evaluators.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.evaluators import EVALUATORS, Importances, importances, num_best
from analysis.typesetting.formats import texts_of, write_texts
from analysis.typesetting.tabular import EMPTY, Row, Table, Value, percent
from mi2p.table_rows import path_safe

if TYPE_CHECKING:
    from optuna.study import Study


def table(found: Importances) -> Table:
    """A line for each parameter, the most important first."""
    first = next(iter(found.shares.values()))
    names = [*first, *sorted(found.drawn.keys() - first.keys())]
    return Table(
        caption=(
            f"Importances of hyper-parameters in the study {found.study} by "
            f"{EVALUATORS[found.evaluator]}, in percent of their sum: {_meaning(found)}"
        ),
        label=f"tab:importances-{found.study}",
        heads=("Hyper-parameter", *(f"for {name} (%)" for name in found.shares), "trials"),
        groups=(tuple(_line(found, name) for name in names),),
        footnotes=tuple(_notes(found, names)),
        size="footnotesize",
    )


def _line(found: Importances, name: str) -> Row:
    cells, record = [name], dict[str, Value](study=found.study, evaluator=found.evaluator)
    record |= {"parameter": name, "trials": found.drawn[name], "of": found.used}
    for objective, shares in found.shares.items():
        cells.append(f"{100 * shares[name]:.1f}" if name in shares else EMPTY)
        record[objective] = percent(shares.get(name))
    return Row(cells=(*cells, str(found.drawn[name])), record=record)


def _meaning(found: Importances) -> str:
    return {
        "ped_anova": (
            f"how much each tells the best {num_best(found.used)} of {found.used} finished "
            "configurations, and those equal to the last of these, from all."
        ),
        "fanova": (
            f"which part of the variance of a random forest, fitted to {found.used} finished "
            "configurations, is that of each alone."
        ),
        "mdi": (
            f"how much the splits at each lower the variance in a random forest, fitted to "
            f"{found.used} finished configurations."
        ),
    }[found.evaluator]


def _notes(found: Importances, names: Sequence[str]) -> list[str]:
    told = [
        "trials: configurations that have it. Those tried were not drawn evenly, unless at "
        "random, and of few configurations importances are rough."
    ]
    if found.left_out:
        left = ", ".join(f"{count} {why}" for why, count in found.left_out.items())
        told.append(f"Left out: {left}.")
    unknown = [name for name in names if all(name not in of for of in found.shares.values())]
    if unknown:
        told.append(
            f"{EMPTY}: {EVALUATORS[found.evaluator]} takes only what all finished configurations "
            f"choose from the same values ({', '.join(unknown)} is not); ped_anova takes all."
        )
    return told


def read_studies(results: Path, storage: str | None, pattern: str) -> list[Study]:
    """The studies of sweeps whose names match a pattern of the shell, such as `*me_cnn*`.

    `FileNotFoundError` if there is no storage; `ValueError` if no name matches.
    """
    from optuna import load_study
    from optuna.study import get_all_study_summaries

    from mi2p.search.storage import JOURNAL, open_storage

    place = (storage or str(results / JOURNAL)).removeprefix("sqlite:///")
    # Opening makes what is not there.
    if "://" not in place and not Path(place).expanduser().exists():
        raise FileNotFoundError(f"no studies in {place}; run a sweep with --search N first")
    opened = open_storage(storage, results)
    # A database may have other studies, too.
    names = [s.study_name for s in get_all_study_summaries(opened) if "declared" in s.user_attrs]
    matching = [name for name in names if fnmatchcase(name, pattern)]
    if not matching:
        there = "; ".join(names) or "none"
        raise ValueError(f"--study must match a study, but got {pattern!r}; there: {there}")
    return [load_study(study_name=name, storage=opened) for name in matching]


def write(results: Path, found: Importances) -> list[Path]:
    """Write the table of a study in all formats, each file whole or not at all."""
    stem = path_safe(f"importances-{found.study}-{found.evaluator}")
    return write_texts(results / "tables", stem, texts_of([table(found)]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print importances, where they are written, and which studies have none."""
    parser = argparse.ArgumentParser(description="Say which hyper-parameters mattered.")
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--study", metavar="PATTERN", default="*", help="such as '*me_cnn*'")
    parser.add_argument("--storage", metavar="URI", help="default: results/studies.journal")
    parser.add_argument("--evaluator", choices=tuple(EVALUATORS), default="ped_anova")
    options = parser.parse_args(arguments)
    try:
        studies = read_studies(options.results, options.storage, options.study)
        errors = []
        for study in studies:
            try:
                paths = write(options.results, importances(study, options.evaluator))
            except ValueError as error:
                errors.append(str(error))
                continue
            print(paths[1].read_text(encoding="utf-8"))
            print(*paths, sep="\n")
        if len(errors) == len(studies):
            raise ValueError("; ".join(errors))
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    for told in errors:
        print(f"note: {told}", file=sys.stderr)


if __name__ == "__main__":
    main()
