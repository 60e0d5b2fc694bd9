"""Whether whatever a search may draw builds, on the meta device, and how fast.

Run it as `python tests/bench/bench_spaces.py --samples 10000`; pytest does not collect it.

Configurations are spread evenly over the rows of Tables 3 and 5 that are trained, with the
packaged backbones, each row's by one random study. Ends with status 1 at the first that does
not build, and prints its parameters.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator

import optuna

from mi2p.data.protocols import protocol
from mi2p.models.blueprint import Untrained
from mi2p.models.describing import architecture
from mi2p.search.spaces import Space, space_of
from mi2p.spec import TrialSpec
from sweeps import ablation_layers, compare_crisismmd

DATASET = "openclipart"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000, help="in all rows together")
    samples: int = parser.parse_args().samples
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = dict(rows())
    print(f"{samples} configurations of {len(spaces)} rows: {', '.join(spaces)}", flush=True)
    seconds = dict.fromkeys(spaces, 0.0)
    counts = dict.fromkeys(spaces, 0)
    studies = {
        name: optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
        for number, name in enumerate(spaces)
    }
    for name in itertools.islice(itertools.cycle(spaces), samples):
        trial, start = studies[name].ask(), time.perf_counter()
        try:
            build(spaces[name].sample(trial))
        except Exception:
            print(f"FAILED: row {name} with {trial.params}", flush=True)
            raise
        seconds[name] += time.perf_counter() - start
        counts[name] += 1
    for name, taken in seconds.items():
        print(f"{name:24} {counts[name]:6} built   {1e3 * taken / max(1, counts[name]):7.1f} ms")
    whole = sum(seconds.values())
    print(f"all {samples} built: {samples / whole:.1f} per second, {whole:.0f} s")


def rows() -> Iterator[tuple[str, Space]]:
    """The space of each row, each trial of two tables once."""
    plans = (
        compare_crisismmd.plan(compare_crisismmd.Options(dataset=DATASET)),
        ablation_layers.plan(ablation_layers.Options(dataset=DATASET)),
    )
    seen = set()
    for plan in plans:
        for row in plan.rows:
            spec = row.specs[0]
            if not spec.averages and spec.trial_id not in seen:
                seen.add(spec.trial_id)
                yield f"{plan.table}/{row.key}", space_of(spec)


def build(spec: TrialSpec) -> None:
    """The model with the frozen encoders that it reads."""
    own = protocol(spec.data.name)
    architecture(
        Untrained(
            spec=spec,
            num_classes=own.num_classes,
            multilabel=own.multilabel,
            stored=frozenset(),
        )
    )


if __name__ == "__main__":
    main()
