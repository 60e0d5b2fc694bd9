"""How often tables of equally good methods call something different: `analysis/stats.py`.

`python -m tests.bench.bench_tables [--tables 1000]` prints a line for each kind of table; some
minutes on one core.
"""

from __future__ import annotations

import argparse

from tests.bench.equal_tables import Setting, best_alone, calls

SETTINGS = {
    f"{rows} rows, deviation {points} points": Setting(rows=rows, luck=luck)
    for rows in (18, 6, 3, 2)
    for points, luck in ((0, 0.0), (0.9, 0.03), (3, 0.1))
} | {
    "18 rows, one seed": Setting(seeds=1, luck=0.1),
    "6 rows, one seed": Setting(rows=6, seeds=1, luck=0.1),
    "18 rows, one of them with a deviation of 6 points": Setting(unstable=0.2),
    "6 rows, one of them with a deviation of 3 points": Setting(rows=6, unstable=0.1),
}


def main() -> None:
    """Print shares of tables in percent."""
    parser = argparse.ArgumentParser(description="Count false calls in made-up tables.")
    parser.add_argument("--tables", type=int, default=1000)
    tables = parser.parse_args().tables
    for metric in ("accuracy", "macro_f1"):
        for name, setting in SETTINGS.items():
            found = calls(setting, tables, metric=metric)
            alone = best_alone(setting, tables, metric=metric)
            print(
                f"{metric}, {name}: against the reference {100 * found.against:.1f} %, not bold "
                f"{100 * found.not_bold:.1f} % ({100 * alone:.1f} % if adjusted for the pairs of "
                f"the best alone), first pair {100 * found.first_pair:.1f} %"
                + f", intervals {100 * found.covered:.1f} %"
                * (metric == "accuracy"),
                flush=True,
            )


if __name__ == "__main__":
    main()
