"""Shapes, list scheduling, and sizes of files; times are made up."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mi2p.options import SEARCH_SEED
from mi2p.plan import PlanRow
from mi2p.pricing import (
    BETWEEN,
    Price,
    Probe,
    bytes_of_stores,
    makespan,
    price,
    print_price,
    search_trials,
    shape_of,
    shapes,
)
from mi2p.spec import FusionSpec, TrialSpec
from mi2p.store import Store, trial_row
from mi2p.trainable import Places
from tests.tiny_models import spec_of

SPEC = spec_of("me_cnn")
PROBE = Probe(
    train=100,
    val=20,
    test=40,
    classes=3,
    id_bytes=10.0,
    setup_seconds=2.0,
    step_seconds=3.0,
    steps=5,
    evaluate_seconds=0.25,
    save_seconds=7.0,
    load_seconds=11.0,
    checkpoint_bytes=1000,
)


def with_train(spec: TrialSpec, **values: Any) -> TrialSpec:
    return replace(spec, train=replace(spec.train, **values))


def with_units(spec: TrialSpec, **values: Any) -> TrialSpec:
    assert spec.model.units is not None
    units = replace(spec.model.units, **values)
    return replace(spec, model=replace(spec.model, units=units))


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, seed=7),
        replace(SPEC, stage="search"),
        with_train(SPEC, lr=0.5, epochs=9, head_lr_multiplier=3, weight_decay=0.1),
        with_units(SPEC, lr_multiplier=3),
        replace(SPEC, model=replace(SPEC.model, head_dropout=0.5)),
        replace(SPEC, data=replace(SPEC.data, name="none")),
    ],
)
def test_what_costs_nothing_leaves_the_shape(other: TrialSpec) -> None:
    assert shape_of(other) == shape_of(SPEC)


@pytest.mark.parametrize(
    "other",
    [
        with_train(SPEC, batch_size=64),
        with_train(SPEC, micro_batch=16),
        with_units(SPEC, attach=(1, 2)),
        with_units(SPEC, heads=2),
        replace(SPEC, data=replace(SPEC.data, image_size=128)),
        replace(SPEC, data=replace(SPEC.data, limit=8)),
        spec_of("cnn"),
    ],
)
def test_what_costs_changes_the_shape(other: TrialSpec) -> None:
    assert shape_of(other) != shape_of(SPEC)


def test_a_transformer_alone_is_not_told_apart_by_how_pictures_are_seen() -> None:
    bert, augmented = spec_of("bert"), spec_of("vilt")
    for spec, same in ((bert, True), (augmented, False)):
        other = replace(spec, data=replace(spec.data, augment="crop_flip"))
        assert (shape_of(spec) == shape_of(other)) is same


def test_each_shape_is_probed_once_and_averages_never() -> None:
    specs = [replace(spec, seed=seed) for seed in (0, 1) for spec in (SPEC, spec_of("cnn"))]
    assert list(shapes(specs).values()) == specs[:2]
    average = replace(
        spec_of("fusion-score"),
        averages=("a", "b"),
    )
    assert average.model.fusion == FusionSpec(kind="score", joint_loss="fused+branches")
    with pytest.raises(ValueError, match="a trial that is priced averages none"):
        shapes([average])


def test_a_trial_is_setup_epochs_and_a_last_evaluation() -> None:
    # 100 examples in batches of 32 are 4 steps: an epoch is 4 * 3 + 20 / 4 + 7 = 24.
    spec = with_train(SPEC, batch_size=32, epochs=2)
    assert PROBE.trial_seconds(spec) == 2 + 2 * 24 + 11 + (20 + 40) / 4 + BETWEEN
    search = replace(spec, stage="search")  # has no test predictions
    assert PROBE.trial_seconds(search) == 2 + 2 * 24 + 11 + 20 / 4 + BETWEEN


def test_trials_start_in_their_turn_on_the_first_free_slot() -> None:
    # Two slots: a 0-4, b 0-3, c 3-5, d 4-10, e 5-6. In another order it would be shorter.
    assert makespan([4, 3, 2, 6, 1], 2) == 10
    assert makespan([4, 3, 2, 6, 1], 1) == 16
    assert makespan([4, 3, 2, 6, 1], 9) == 6
    assert makespan([], 2) == 0
    with pytest.raises(ValueError, match=r"`slots >= 1` must hold, but got slots=0"):
        makespan([1], 0)


def test_the_price_sums_work_and_schedules_it() -> None:
    long, short = with_train(SPEC, epochs=2, batch_size=32), spec_of("cnn")
    quick = replace(
        PROBE, setup_seconds=0, step_seconds=0, save_seconds=0, load_seconds=0, evaluate_seconds=0
    )
    large = replace(PROBE, checkpoint_bytes=500)
    probes = {shape_of(long): large, shape_of(short): quick}
    specs = [long, short, replace(short, seed=1), replace(short, seed=2)]
    found = price(specs, probes, slots=2, gpus=0.5, startup=9.0, store_bytes=77)
    one = 2 + 2 * 24 + 11 + 15 + BETWEEN
    assert found.work_seconds == pytest.approx(one + 3 * BETWEEN)
    assert found.wall_seconds == pytest.approx(9 + one)
    assert found.hours == pytest.approx((one + 3 * BETWEEN) * 0.5 / 3600)
    assert (found.trials, found.shapes, found.slots, found.store_bytes) == (4, 2, 2, 77)
    assert found.checkpoint_bytes == 2000  # the two largest may meet
    assert (found.shortest_seconds, found.longest_seconds) == (BETWEEN, one)
    on_cpu = price(specs, probes, slots=2)
    assert on_cpu.hours == pytest.approx((one + 3 * BETWEEN) / 3600)


def test_a_search_is_priced_in_rounds_and_then_its_confirmation() -> None:
    first, second = (
        PlanRow(
            key=key,
            label=key,
            paper="",
            specs=tuple(replace(spec_of(key), seed=seed) for seed in (0, 1)),
        )
        for key in ("cnn", "bert")
    )
    specs = search_trials([(first, 2), (second, 1)])
    assert [(s.model.name, s.stage, s.seed) for s in specs] == [
        ("cnn", "search", SEARCH_SEED),
        ("bert", "search", SEARCH_SEED),
        ("cnn", "search", SEARCH_SEED),
        ("cnn", "confirm", 0),
        ("cnn", "confirm", 1),
        ("bert", "confirm", 0),
        ("bert", "confirm", 1),
    ]
    assert search_trials([]) == []


@pytest.mark.parametrize(("examples", "classes"), [(60, 3), (900, 11), (5000, 101), (9000, 101)])
def test_the_bytes_of_a_trial_are_near_those_of_its_files(
    tmp_path: Path, examples: int, classes: int
) -> None:
    rng, store = np.random.default_rng(0), Store(tmp_path)
    of_id = [f"{number:06}-{rng.integers(10**9)}" for number in range(examples)]
    store.write_predictions(
        SPEC.trial_id,
        [
            {
                "split": "val",
                "example_id": name,
                "labels": [int(rng.integers(classes))],
                "probabilities": rng.dirichlet(np.ones(classes)).tolist(),
            }
            for name in of_id
        ],
    )
    store.write_epochs(SPEC.trial_id, [{"epoch": 1.0, "train/loss": 0.1, "val/loss": 0.3}])
    store.write_trial(trial_row(SPEC, status="done", metrics={"val/loss": 0.25}))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    written = sum(path.stat().st_size for path in files)
    sized = replace(
        PROBE,
        val=examples,
        test=0,
        classes=classes,
        id_bytes=float(np.mean([len(name) for name in of_id])),
    )
    beside = 22_000 + 6 * 4096  # Tune's notes, curves, folders and the rest of blocks
    assert 0.97 * written <= sized.trial_bytes(SPEC) <= 1.1 * written + beside


def test_stores_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"123")
    (tmp_path / "two").write_bytes(b"12345")
    places = Places(
        results="/r", cache=str(tmp_path), data="/d", weights=None, prepared=(("a", "one"),)
    )
    both = replace(places, prepared=(("b", "one"), ("c", "two"), ("d", "absent")))
    assert bytes_of_stores([places, both]) == 8


def printed(found: Price, **options: Any) -> list[str]:
    out = io.StringIO()
    print_price(Console(file=out, width=80, highlight=False), found, **options)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return lines


PRICE = Price(
    trials=36,
    shapes=12,
    slots=2,
    gpus=0,
    work_seconds=5400,
    shortest_seconds=52,
    longest_seconds=155,
    wall_seconds=2760,
    results_bytes=4_300_000,
    checkpoint_bytes=1_444_000_000,
    store_bytes=306_000,
)


def test_the_price_is_told_in_80_columns() -> None:
    assert printed(PRICE) == [
        "price, by short probes of 12 shapes:",
        "  work       1.50 CPU core-hours: 36 trials of 52 s to 3 min",
        "  wall time  46 min, 2 trials at a time",
        "  disk       4.3 MB of results",
        "             up to 1.4 GB of checkpoints while it runs",
        "             306.0 kB of decoded images and features, made already",
    ]
    paid = replace(PRICE, gpus=0.5, longest_seconds=52, wall_seconds=3 * 3600 + 120)
    assert printed(paid)[1:3] == [
        "  work       0.75 GPU-hours: 36 trials of 52 s",
        "  wall time  3 h 02 min, 2 trials at a time",
    ]


def test_a_part_of_a_gpu_that_all_trials_fit_in_is_proposed() -> None:
    gigabyte = 10**9
    small = replace(PRICE, gpus=1, gpu_bytes=4 * gigabyte)
    assert printed(small, gpu=24 * gigabyte)[6:] == [
        "  memory     4.0 GB of a GPU's 24.0 GB at most",
        "             --gpus-per-trial 0.25 puts 4 on each",
    ]
    assert printed(replace(small, gpus=0.25), gpu=24 * gigabyte)[7:] == []
    large = replace(small, gpu_bytes=14 * gigabyte)
    assert printed(large, gpu=24 * gigabyte)[7:] == []
    assert len(printed(small)) == 6  # of a GPU that nobody knows


def test_a_search_says_what_its_price_does_not_know() -> None:
    told = printed(PRICE, search=True)
    assert told[: len(printed(PRICE))] == printed(PRICE)
    assert "batch" in " ".join(told[6:])


def test_nothing_to_run_costs_nothing() -> None:
    assert printed(price([], {}, slots=2)) == ["nothing to run, nothing to pay"]


def test_one_trial_is_no_trials() -> None:
    one = replace(PRICE, trials=1, shapes=1, slots=1, longest_seconds=52)
    assert printed(one)[:3] == [
        "price, by short probes of 1 shape:",
        "  work       1.50 CPU core-hours: 1 trial of 52 s",
        "  wall time  46 min, 1 trial at a time",
    ]
