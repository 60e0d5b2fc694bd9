"""The command line that every sweep script shares. Imports neither torch nor Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from tyro.conf import arg

from mi2p.data.protocols import protocol
from mi2p.durations import parse_duration
from mi2p.placement import Request
from mi2p.spec import OPTION_TAKERS, DataSpec, TrainSpec

SEARCH_SEED = 1000
"""Of all trials of a search. No table has it: what chose a configuration does not confirm it."""
SMOKE_LIMIT = 48
"""Examples of each split with --smoke."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which data, where they and what is made of them lie; None stands for the data set's own."""

    dataset: str = "openclipart"
    """Data set: openclipart, openclipart-tags, crisismmd_task1..3, food101, mmimdb."""
    data: Path | None = None
    """Folder of the data, or above several. Default: $MI2P_DATA, the system's, or data/."""
    weights: Path | None = None
    """Folder of pretrained weights. Default: $MI2P_WEIGHTS, packaged ones, or the hub."""
    cache: Path = Path("cache")
    """Folder of decoded images and features; $VARIABLES are those of each machine."""
    results: Path = Path("results")
    """Folder of trial rows, predictions, curves and tables."""
    image_size: int | None = None
    """Pixels. None: the data set's own (128 for openclipart, else 256: 8 heads fit each map)."""
    max_tokens: int | None = None
    """Word pieces. None: the data set's own (openclipart 16, CrisisMMD 64, others 512)."""
    view: Literal["fit", "crop"] | None = None
    """Whole picture or middle square. None: the data set's own (openclipart fit, others crop)."""
    augment: Literal["none", "crop_flip"] | None = None
    """Of training images. None: the data set's own (openclipart none, others crop_flip)."""
    clean: Literal["standard", "abavisani", "none"] | None = None
    """CrisisMMD: how tweets are cleaned. None: the data set's own (standard)."""
    fix_mojibake: bool | None = None
    """CrisisMMD: repair UTF-8 that was encoded twice. None: the data set's own (False)."""
    text_field: Literal["plot_longest", "plot_first", "plot_outline"] | None = None
    """MM-IMDB: which text of a movie. None: the data set's own (plot_longest)."""
    splits: str | None = None
    """A file or folder below the data's, with other splits than the data set's own."""
    on_bad_image: Literal["fail", "skip"] | None = None
    """End at an image that cannot be used, or leave it out. None: the data set's own (fail)."""
    features: Literal["float32", "float16"] | None = None
    """Type in which frozen features are kept. None: the data set's own (float32)."""

    def limit(self) -> int:
        """Examples of each split; 0 is all."""
        return 0


@dataclass(frozen=True, kw_only=True)
class SweepOptions(DataOptions):
    """Where and how a sweep runs, and on what data; what it trains is declared by the script."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """A trial per row and seed; tables show mean and sample standard deviation over them."""
    rows: tuple[str, ...] = ()
    """Run only these rows: keys, patterns (me_*), dataset=..., PATH=VALUE. Default: all."""
    gpus_per_trial: float | None = None
    """GPUs of a trial: 0, a part of one, or up to 8 on a node. None: 1 where there are any."""
    accelerator: str | None = None
    """Model of GPU that trials must have, as `ray status` names it: A10G, A100, ..."""
    device: Literal["auto", "cpu"] = "auto"
    """Auto takes the GPUs that trials are given; cpu trains on CPUs all the same."""
    max_concurrent: int = 0
    """Trials at a time; 0 runs as many as fit."""
    remote: str | None = None
    """Bucket (s3://bucket/prefix, ...) for nodes that share no folder; --results gets copies."""
    address: str | None = None
    """Ray cluster: auto, host:port, or local for a private one. None: $RAY_ADDRESS, or local."""
    retry_failed: bool = False
    """Run trials again that ended with an error."""
    force: tuple[str, ...] = ()
    """Train these again: as in --rows, or seed=0. Old files go to replaced/ in --results."""
    overrides: Annotated[tuple[str, ...], arg(name="set")] = ()
    """PATH=VALUE in all rows that have it (train.lr=3e-5), KEYS:PATH=VALUE in some of them."""
    search: int = 0
    """Configurations to try per row on validation; --seeds train the best. 0: as declared."""
    sampler: Literal["tpe", "gp", "random", "nsga2"] = "tpe"
    """What suggests configurations."""
    scheduler: Literal["none", "asha", "median"] = "none"
    """What ends hopeless trials of a search early."""
    against: Literal["added_parameters", "seconds"] | None = None
    """To be small beside a high metric: parameters, or seconds. None: the metric alone."""
    in_flight: int = 4
    """Configurations of a row at a time; a suggestion knows the results of those before."""
    storage: str | None = None
    """Optuna studies: a journal file or sqlite:///FILE. Default: --results/studies.journal."""
    time_budget: str | None = None
    """Stop after 90m, 1h30m or so and make the table of what is there. None: no limit."""
    dry_run: bool = False
    """Print the plan and, after short probes, its price; then stop."""
    print_command: str | None = None
    """Print the command that trains this row (as in --rows) with all its values; then stop."""
    collect: bool = False
    """Make the table of what is there; train nothing."""
    yes: bool = False
    """Do not ask before starting."""
    smoke: bool = False
    """The whole path to a table in under 2 minutes: 1 seed, 1 epoch, 48 examples per split."""
    epochs: int | None = None
    """Epochs; validation chooses the best. None: the data set's own, mi2p/data/protocols.py."""
    micro_batch: int | None = None
    """Examples at a time, of a batch: less memory, other BatchNorm statistics. None: all."""
    checkpoint_activations: bool = False
    """Compute activations twice instead of keeping them: less memory, the same results."""
    keep_weights: bool = False
    """Keep what trials learnt in weights/ of --results, as sweeps/attention_maps.py reads it."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                f"--seeds must be distinct numbers from 0 up, at least one, but got {self.seeds}"
            )
        if self.gpus_per_trial is not None:
            request = Request(gpus=self.gpus_per_trial, accelerator=self.accelerator)
            if self.remote is not None and request.workers > 1:
                raise ValueError(
                    "--gpus-per-trial must be at most 1 with --remote: processes that train "
                    f"together read one folder of checkpoints, but got {request.gpus:g}"
                )
        for option, least in (("max_concurrent", 0), ("search", 0), ("in_flight", 1)):
            value = getattr(self, option)
            if value < least:
                name = option.replace("_", "-")
                raise ValueError(f"--{name} must be >= {least}, but got {value}")
        if self.time_budget is not None:
            try:
                parse_duration(self.time_budget)
            except ValueError as error:
                raise ValueError(f"--time-budget: {error}") from error
        if self.against and self.scheduler != "none":
            raise ValueError(
                "--scheduler must be none beside --against: trials cannot be compared before "
                f"their end by two objectives, but got {self.scheduler}"
            )
        if SEARCH_SEED in self.seeds:
            raise ValueError(
                f"--seeds must not have {SEARCH_SEED}, at which searches train, but got "
                f"{self.seeds}"
            )

    def limit(self) -> int:
        return SMOKE_LIMIT if self.smoke else 0


@dataclass(frozen=True, kw_only=True)
class BackboneOptions(SweepOptions):
    """Of a sweep over models of one CNN and one transformer."""

    visual: str | None = None
    """CNN. None: the data set's own (openclipart efficientnet_lite0, others densenet121)."""
    textual: str | None = None
    """Transformer. None: the data set's own (openclipart minilm, others bert-base-uncased)."""


OptionsT = TypeVar("OptionsT", bound=SweepOptions)


def data_spec(options: DataOptions) -> DataSpec:
    """What the data set's protocol says, where the user did not say otherwise.

    `ValueError` for an unknown data set, and for an option that it does not have.
    """
    own = protocol(options.dataset).data
    asked = {
        entry.name: getattr(options, entry.name)
        for entry in dataclasses.fields(DataSpec)
        if entry.name not in ("name", "limit")
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return dataclasses.replace(own, limit=options.limit(), **given)


def train_spec(options: SweepOptions, trains: Sequence[str]) -> TrainSpec:
    """How a model is trained whose backbones of these modalities learn."""
    train = protocol(options.dataset).train(trains)
    epochs = 1 if options.smoke else options.epochs
    if epochs is not None:
        train = dataclasses.replace(train, epochs=epochs)
    if options.micro_batch is not None and options.micro_batch < train.batch_size:
        train = dataclasses.replace(train, micro_batch=options.micro_batch)
    return train


def on_dataset(options: OptionsT, name: str, names: Sequence[str]) -> OptionsT:
    """`options` for the data set `name` of several, without what only others of them have."""
    others: dict[str, Any] = {
        option: None
        for option, takers in OPTION_TAKERS.items()
        if not name.startswith(takers) and any(other.startswith(takers) for other in names)
    }
    return dataclasses.replace(options, dataset=name, **others)


def chosen_seeds(options: SweepOptions) -> tuple[int, ...]:
    """A row's seeds."""
    return options.seeds[:1] if options.smoke else options.seeds
