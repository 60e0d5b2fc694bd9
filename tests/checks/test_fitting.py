"""What fits in memory, against `describe` itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mi2p.checks import fitting
from mi2p.checks.effects import Task
from mi2p.checks.fitting import Fitting, described, hungriest, largest_batch, largest_part
from mi2p.models.describing import Description, describe
from mi2p.nodes import Memory
from mi2p.paths import replaced
from mi2p.placement import CONTEXT_BYTES, usable_bytes
from mi2p.search.spaces import space_of
from mi2p.spec import TrialSpec
from tests.tiny_models import spec_of

TASK = Task(num_classes=3, multilabel=False, num_train=300)
TASKS = {"none": TASK}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cnn(stores: Path) -> Description:
    return described(spec_of("cnn"), TASK, stores, checkpoint=False)


def of(nbytes: float, stores: Path, *, bfloat16: bool = False, **more: Any) -> Fitting:
    """A trial has so many bytes beyond what stays free."""
    memory = Memory(nbytes=nbytes / 0.9, bfloat16=bfloat16, gpu=bfloat16)
    return Fitting(memory=memory, stores=stores, **more)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that are described from now on."""
    made: list[str] = []
    own: Callable[..., Description] = describe

    def counting(spec: TrialSpec, *rest: Any, **more: Any) -> Description:
        made.append(spec.model.name)
        return own(spec, *rest, **more)

    monkeypatch.setattr(fitting, "describe", counting)
    return made


def test_what_is_known_is_what_describe_says(cnn: Description, stores: Path) -> None:
    assert cnn == describe(spec_of("cnn"), 3)
    # Out of the file.
    assert described(spec_of("cnn"), TASK, stores, checkpoint=False) == cnn


@pytest.mark.slow
def test_a_model_is_described_once_whatever_its_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = counted(monkeypatch)
    spec = spec_of("cnn")
    first = described(spec, TASK, tmp_path, checkpoint=False)
    trained = replaced(spec, {"train.lr": 3.0, "train.micro_batch": 5, "data.limit": 9})
    for same in (replace(spec, seed=3), trained):
        task = replace(TASK, num_train=7)
        assert described(same, task, tmp_path, checkpoint=False) == first
    assert made == ["cnn"]
    described(replaced(spec, {"data.image_size": 96}), TASK, tmp_path, checkpoint=False)
    described(spec, replace(TASK, num_classes=4), tmp_path, checkpoint=False)
    described(spec, TASK, tmp_path, checkpoint=True)
    assert len(made) == 4
    monkeypatch.setattr(fitting, "__version__", "next")
    described(spec, TASK, tmp_path, checkpoint=False)
    assert len(made) == 5


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": {}}', "truncated", "another key"])
def test_a_damaged_file_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, stores: Path, cnn: Description, tmp_path: Path, damage: str
) -> None:
    own = fitting._key(spec_of("cnn"), TASK, checkpoint=False)
    spec = spec_of("cnn")
    described_by: list[str] = counted(monkeypatch)
    described(spec, TASK, stores, checkpoint=False)
    (there,) = (
        path
        for path in (stores / fitting.FOLDER).iterdir()
        if json.loads(path.read_text())["key"] == own
    )
    text = there.read_text()
    path = tmp_path / fitting.FOLDER / there.name
    path.parent.mkdir()
    if damage == "truncated":
        path.write_text(text[: len(text) // 2])
    elif damage == "another key":
        path.write_text(text.replace('"checkpoint": false', '"checkpoint": true'))
    else:
        path.write_text(damage)
    assert described_by == []
    assert described(spec, TASK, tmp_path, checkpoint=False) == cnn
    assert described_by == ["cnn"] and path.read_text() == text


def test_the_largest_part_of_an_epoch() -> None:
    spec = spec_of("cnn")
    assert largest_part(spec, TASK) == 100  # 300 in 3 batches of at most 128
    assert largest_part(spec, replace(TASK, num_train=48)) == 48
    assert largest_part(replaced(spec, {"train.micro_batch": 30}), TASK) == 25


def test_what_needs_all_that_there_is_fits(cnn: Description, stores: Path) -> None:
    spec, needed = spec_of("cnn"), cnn.needed("float32", 100)
    of(needed + 1, stores).check({"row": spec}, TASKS)
    message = (
        rf"row: a batch of 100 needs {needed / 1e9:.2f} GB in float32, but a trial has "
        rf"{0.999 * needed / 0.9 / 1e9:.2f} GB, of which 10% stay free; fits: --micro-batch 99, "
        r"or --checkpoint-activations$"
    )
    with pytest.raises(ValueError, match=message):
        of(0.999 * needed, stores).check({"row": spec}, TASKS)
    half = cnn.needed("bfloat16", 100)
    assert half < 0.9 * needed
    of(half + 1, stores, bfloat16=True).check({"row": spec}, TASKS)
    # What helps does.
    spec = replaced(spec, {"train.micro_batch": 99})
    of(0.999 * needed, stores).check({"row": spec}, TASKS)


def test_what_would_help_is_told(cnn: Description, stores: Path) -> None:
    spec = spec_of("cnn")
    saved = describe(spec, 3, checkpoint=True)

    def told(nbytes: float, **more: Any) -> str:
        with pytest.raises(ValueError, match=r"^row: ") as error:
            of(nbytes, stores, **more).check({"row": spec}, TASKS)
        return str(error.value).split("; ")[1]

    five = cnn.needed("float32", 5) + 1
    ways = "fits: --micro-batch 5, or --checkpoint-activations --micro-batch {}"
    assert told(five) == ways.format(saved.largest("float32", five))
    three = cnn.needed("float32", 3) + 1
    checkpointed = saved.largest("float32", three)
    assert told(three) == f"fits: --checkpoint-activations --micro-batch {checkpointed}"
    # With activations computed again that is no way out any more.
    assert told(three, checkpoint=True) == f"fits: --micro-batch {checkpointed}"
    assert told(cnn.state) == "no micro-batch of 4 fits either: it takes more memory"


def test_more_of_a_gpu_or_more_gpus_help(cnn: Description, stores: Path) -> None:
    spec = spec_of("cnn")

    def told(part: float, whole: float) -> str:
        nbytes = usable_bytes(whole, part)
        memory = Memory(nbytes=nbytes, bfloat16=True, gpu=True, whole=whole)
        with pytest.raises(ValueError, match=r"^row: ") as error:
            Fitting(memory=memory, stores=stores).check({"row": spec}, TASKS)
        return str(error.value)

    needed = cnn.needed("bfloat16", largest_part(spec, TASK)) / 0.9
    # A quarter is too small, a half is not.
    assert told(0.25, 2 * (CONTEXT_BYTES + needed) + 1).endswith("--gpus-per-trial 0.5")
    assert told(0.25, 2 * (CONTEXT_BYTES + needed) - 2).endswith("--gpus-per-trial 1")
    # Two share a batch; the weights are on both.
    halved = cnn.needed("bfloat16", -(-largest_part(spec, TASK) // 2)) / 0.9
    assert told(1, halved + 1).endswith("--gpus-per-trial 2 where a node has as many")
    assert told(1, halved - 1).endswith("--gpus-per-trial 4 where a node has as many")
    two = Memory(nbytes=halved + 1, bfloat16=True, gpu=True, whole=halved + 1)
    Fitting(memory=two, stores=stores, workers=2).check({"row": spec}, TASKS)


def test_all_that_does_not_fit_is_told(stores: Path) -> None:
    specs = {"A": spec_of("cnn"), "B": spec_of("cnn", seed=1)}
    with pytest.raises(ValueError, match=r"^A: .*\nB: "):
        of(1000, stores).check(specs, TASKS)


@pytest.mark.slow
def test_the_hungriest_configuration_needs_as_much_as_any(stores: Path) -> None:
    base = replaced(spec_of("me_cnn"), {"train.batch_size": 32})
    space = space_of(base)
    largest = hungriest(space)
    units = largest.model.units
    assert units is not None and units.attach == (1, 2, 3, 4)
    assert (units.heads, units.query_kernel, units.init) == (16, 7, "gate")
    most = describe(largest, 3, stored=("words",))
    for changes in (
        {"heads": 4, "attach": (1, 2, 3, 4)},
        {"heads": 16, "attach": (1, 2)},
        {"heads": 4, "attach": (4,)},
    ):
        values = {"d_k": units.d_k, "query_kernel": 7, "init": "gate", **changes}
        spec = replaced(base, {f"model.units.{name}": value for name, value in values.items()})
        found = describe(spec, 3, stored=("words",))
        for precision in ("float32", "bfloat16"):
            assert found.needed(precision, 32) <= most.needed(precision, 32)


@pytest.mark.slow
def test_the_largest_batch_of_a_search(stores: Path) -> None:
    base = replaced(spec_of("me_bert"), {"train.batch_size": 32})
    space = space_of(base)
    found = described(hungriest(space), TASK, stores, checkpoint=False)
    enough = of(found.needed("float32", 50) + 1, stores)
    assert largest_batch(space, TASK, enough, "me_bert") == 50
    scarce = of(found.needed("float32", 20) + 1, stores)
    message = "the largest configuration in a search of me_bert: a batch of 30 needs .* 20"
    with pytest.raises(ValueError, match=message):
        largest_batch(space, TASK, scarce, "me_bert")
    # Any batch fits when its parts do.
    space = space_of(replaced(base, {"train.micro_batch": 20}))
    assert largest_batch(space, TASK, scarce, "me_bert") is None
