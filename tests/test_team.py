"""A trial in several processes: the same as in one, up to the order of sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mi2p import data, steps
from mi2p.data.example import Dataset
from mi2p.runtime import Runtime
from mi2p.spec import DataSpec, TrainSpec, TrialSpec
from mi2p.steps import check_shares
from mi2p.team import Team
from mi2p.train import Outcome, fit
from tests import tiny_models
from tests.planted import planted_xor
from tests.teams import in_a_team

COUNT = 96
"""Examples; half of them are trained on."""


def test_shares_are_those_of_array_split() -> None:
    for size in range(1, 9):
        for count in range(30):
            cut = np.array_split(np.arange(count), size)
            shares = [np.arange(count)[Team(rank, size).share(count)] for rank in range(size)]
            assert all(map(np.array_equal, cut, shares))


def test_turns_are_dealt_whole_and_once() -> None:
    dealt = [Team(rank, 3).turns(range(7)) for rank in range(3)]
    assert list(map(list, dealt)) == [[0, 3, 6], [1, 4], [2, 5]]
    assert list(Team(2, 3).turns(range(2))) == []


def test_a_process_alone_is_a_team() -> None:
    team = Team.current()
    assert team.alone and team.first and team.share(5) == slice(0, 5)
    assert team.sum(0.1) == 0.1 and team.agrees(3) and team.told("a") == "a"
    values = torch.ones(2)
    assert team.add_up(values) is values
    team.wait()


def test_each_process_needs_an_example_of_every_part() -> None:
    train = TrainSpec(lr=1, epochs=1, batch_size=16, micro_batch=6)  # parts of 6, 5 and 5
    check_shares(train, 48, 5)
    rule = r"smallest part of a batch, here 5: 1 to 5 are legal.*processes=6, batch_size=16, micro"
    with pytest.raises(ValueError, match=rule):
        check_shares(train, 48, 6)


# What follows runs in processes of a team.

SPECS: Mapping[str, tuple[str, dict[str, Any], int, float]] = {
    # Model, its data, examples at a time, and learning rate: Adam makes a step of that size out of
    # the smallest gradient, so the order of sums shows where there are many of these.
    "me_cnn": ("me_cnn", {"augment": "crop_flip"}, 6, 1e-3),
    "me_bert": ("me_bert", {}, 0, 1e-3),
    "xlnet": ("fusion-score/resnet-xlnet", {}, 5, 1e-6),
    "cbgp": ("fusion-cbgp/clip", {}, 0, 1e-6),
    "vilt": ("vilt", {}, 0, 1e-3),
    "centralnet": ("centralnet", {}, 6, 1e-5),
}


def spec_of(name: str, *, epochs: int = 2) -> TrialSpec:
    model, of_data, micro_batch, lr = SPECS[name]
    spec = tiny_models.spec_of(model)
    return replace(
        spec,
        data=DataSpec(name="planted", image_size=64, max_tokens=12, **of_data),
        model=replace(spec.model, head_dropout=0.3),
        train=TrainSpec(lr=lr, batch_size=16, micro_batch=micro_batch, epochs=epochs),
    )


@dataclass
class Ground:
    """What all processes read."""

    dataset: Dataset
    runtime: Runtime
    several: Dataset
    """The same with several labels."""

    def fit(
        self,
        name: str,
        *,
        epochs: int = 2,
        multilabel: bool = False,
        on_epoch: Callable[[dict[str, float], Path | None], None] | None = None,
        **changes: Any,
    ) -> Outcome:
        dataset = self.several if multilabel else self.dataset
        data.DATASETS["planted"] = data.Source(
            locate=lambda root: root or Path(), read=lambda root, spec: dataset
        )
        return fit(spec_of(name, epochs=epochs), replace(self.runtime, **changes), on_epoch)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("together")
    planted = planted_xor(folder / "planted", count=COUNT)
    labels = ((), (0,), (1,), (0, 1))
    several = replace(
        planted,
        multilabel=True,
        examples=tuple(replace(e, labels=labels[i % 4]) for i, e in enumerate(planted.examples)),
    )
    yield Ground(planted, Runtime(cache=folder / "cache", device="cpu"), several)
    data.DATASETS.pop("planted", None)


@pytest.fixture(scope="module")
def alone(ground: Ground) -> dict[str, Outcome]:
    """Trials in one process; they make the stores as well."""
    found = {name: ground.fit(name) for name in SPECS}
    found["several labels"] = ground.fit("me_cnn", multilabel=True)
    return found


@pytest.fixture(scope="module")
def two(ground: Ground, alone: dict[str, Outcome], tmp_path_factory: Any) -> list[dict[str, Any]]:
    """The same in each of two processes, and more."""
    folder = tmp_path_factory.mktemp("checkpoints")
    # One process begins a trial that two go on with.
    with pytest.raises(KeyboardInterrupt):
        ground.fit("me_cnn", checkpoints=folder / "one-two", on_epoch=_die)
    return in_a_team(2, by_two, ground, folder)


def by_two(ground: Ground, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {name: ground.fit(name) for name in SPECS}
    found["several labels"] = ground.fit("me_cnn", multilabel=True)
    found["recomputed"] = ground.fit("me_cnn", checkpoint_activations=True)
    for name in ("me_bert", "cbgp"):
        with _local():
            found[f"{name}, local"] = ground.fit(name)
    for name in ("me_cnn", "me_bert"):
        try:
            ground.fit(name, checkpoints=folder / name, on_epoch=_die)
        except KeyboardInterrupt:
            found[f"{name}, killed"] = sorted(p.name for p in (folder / name).iterdir())
        found[f"{name}, resumed"] = ground.fit(name, checkpoints=folder / name)
    found["begun by one"] = ground.fit("me_cnn", checkpoints=folder / "one-two")
    found["bad loss"] = _bad_loss(ground)
    return found


def _die(record: dict[str, float], checkpoint: Path | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _local() -> Iterator[None]:
    """BatchNorm and noise of each process's own share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "WholePart", lambda team, count: nullcontext())
        yield


def _bad_loss(ground: Ground) -> str:
    """The message when one of the processes has a loss that is no number."""
    calls, right = 0, steps.loss

    def nan_at_five(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        bad = calls == 5 and Team.current().rank == 1
        return right(logits, labels) * (torch.nan if bad else 1.0)

    steps.loss = nan_at_five
    try:
        ground.fit("me_bert")
    except FloatingPointError as error:
        return str(error)
    finally:
        steps.loss = right
    return "none was raised"


def assert_close(one: Outcome, other: Outcome) -> None:
    for left, right in zip(one.predictions, other.predictions, strict=True):
        assert left.ids == right.ids
        np.testing.assert_allclose(left.probabilities, right.probabilities, rtol=1e-4, atol=1e-5)
    losses = [[record["train/loss"] for record in each.history] for each in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def assert_same(one: Outcome, other: Outcome) -> None:
    """Bit for bit."""
    assert one.history == other.history and one.metrics == other.metrics
    for left, right in zip(one.predictions, other.predictions, strict=True):
        assert np.array_equal(left.probabilities, right.probabilities)


def all_of(found: Sequence[Mapping[str, Any]], name: str) -> Outcome:
    """What all processes have alike."""
    first, *others = (each[name] for each in found)
    for other in others:
        assert_same(first, other)
    outcome: Outcome = first
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SPECS, "several labels"])
def test_two_processes_predict_what_one_does(
    alone: dict[str, Outcome], two: list[dict[str, Any]], name: str
) -> None:
    assert_close(all_of(two, name), alone[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["me_bert", "cbgp"])
def test_with_noise_and_batch_norm_of_each_share_they_do_not(
    alone: dict[str, Outcome], two: list[dict[str, Any]], name: str
) -> None:
    with pytest.raises(AssertionError):
        assert_close(two[0][f"{name}, local"], alone[name])


@pytest.mark.slow
def test_recomputed_activations_have_the_same_bits(two: list[dict[str, Any]]) -> None:
    assert_same(all_of(two, "recomputed"), two[0]["me_cnn"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["me_cnn", "me_bert"])
def test_two_processes_resume_to_the_same_bits(two: list[dict[str, Any]], name: str) -> None:
    assert two[0][f"{name}, killed"] == ["best-0001.pt", "last.pt"]
    assert_same(all_of(two, f"{name}, resumed"), two[0][name])


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_began(
    alone: dict[str, Outcome], two: list[dict[str, Any]]
) -> None:
    assert_close(all_of(two, "begun by one"), alone["me_cnn"])


@pytest.mark.slow
def test_a_bad_loss_of_one_process_is_raised_in_all(two: list[dict[str, Any]]) -> None:
    assert {each["bad loss"] for each in two} == {"loss is nan at epoch 2, step 2 of 3 (lr 0.001)"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["me_cnn", "me_bert"])
def test_three_processes_with_uneven_shares_predict_what_one_does(
    alone: dict[str, Outcome], three: list[dict[str, Any]], name: str
) -> None:
    assert_close(all_of(three, name), alone[name])


@pytest.fixture(scope="module")
def three(ground: Ground, alone: dict[str, Outcome]) -> list[dict[str, Any]]:
    return in_a_team(3, by_three, ground)


def by_three(ground: Ground) -> dict[str, Any]:
    return {name: ground.fit(name) for name in ("me_cnn", "me_bert")}
