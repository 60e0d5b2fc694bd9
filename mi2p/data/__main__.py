"""Data sets and their stores by hand: `python -m mi2p.data prepare|check|info|describe --help`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from mi2p.cluster import joined
from mi2p.data import DATASETS, ensure
from mi2p.data.cache import SUFFIX, Damaged, Stored, expanded
from mi2p.data.protocols import protocol
from mi2p.legality import check_tokens, require
from mi2p.options import DataOptions, data_spec
from mi2p.preparation import (
    MakeStore,
    absolute_cache,
    find_inputs,
    make_here,
    prepare_stores,
)
from mi2p.progress import make_console
from mi2p.spec import DataSpec, ModelSpec, UnitSpec


@dataclass(frozen=True, kw_only=True)
class OfDataset(DataOptions):
    """What all commands on a data set take."""

    dataset: tyro.conf.Positional[str] = field()  # no default, though sweeps have one
    """openclipart, openclipart-tags, crisismmd_task1..3, food101 or mmimdb."""


@dataclass(frozen=True, kw_only=True)
class Prepare(OfDataset):
    """Make the stores that trials read: images, token ids, T' and Z'."""

    visual: str | None = None
    """CNN whose Z' to keep. Default: the data set's own."""
    textual: str | None = None
    """Transformer whose T' to keep. Default: the data set's own."""
    address: str | None = None
    """Ray cluster that shares the work and keeps a copy on each node. Default: this machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the frozen encoders run; trials on another kind make their own features."""

    def run(self, console: Console) -> None:
        own, data = protocol(self.dataset), data_spec(self)
        visual, textual = self.visual or own.visual, self.textual or own.textual
        check_tokens(textual, data.max_tokens)
        models, folders = both_models(visual, textual), _folders(console, self)
        if self.address is None:
            _prepare(console, self, data, models, folders, device=self.device)
        else:
            with joined(self.address):
                self._prepare_everywhere(console, data, models, folders)
        Info(cache=self.cache).run(console)

    def _prepare_everywhere(
        self,
        console: Console,
        data: DataSpec,
        models: Sequence[ModelSpec],
        folders: tuple[Path, Path | None],
    ) -> None:
        from mi2p.copies import copy_to_nodes
        from mi2p.spread import make_store

        device = self._cluster_device()
        made = _prepare(console, self, data, models, folders, device=device, make=make_store)
        copy_to_nodes(made, absolute_cache(self.cache))

    def _cluster_device(self) -> Literal["cpu", "cuda"]:
        """One kind for all machines: features of several kinds must not be mixed."""
        import ray

        if self.device != "auto":
            return self.device
        return "cuda" if ray.cluster_resources().get("GPU") else "cpu"


@dataclass(frozen=True, kw_only=True)
class Check(OfDataset):
    """Read the data set, decode every image, and compare the checksums of all stores."""

    def run(self, console: Console) -> None:
        _prepare(console, self, data_spec(self), [], _folders(console, self), device="cpu")
        damaged = list(_damaged(expanded(self.cache)))
        for path, reason in damaged:
            console.print(f"damaged: {path}: {reason}", markup=False, soft_wrap=True)
        if damaged:
            raise Damaged(f"{len(damaged)} stores are damaged; trials will make them again")
        console.print("data set and stores are good")


@dataclass(frozen=True, kw_only=True)
class Info:
    """List the stores: what they hold, of what, and how large they are."""

    cache: Path = Path("cache")
    """Folder of the stores."""

    def run(self, console: Console) -> None:
        table = Table(box=None, pad_edge=False)
        for head, side in (("store", "left"), ("of", "left"), ("cells", "right"), ("MB", "right")):
            table.add_column(head, justify=side, overflow="fold")  # type: ignore[arg-type]
        total = 0
        folder = expanded(self.cache)
        if not folder.is_dir():
            raise ValueError(f"--cache must be a folder, but {folder} is not one")
        for path, store in _stores(folder):
            size = path.stat().st_size
            total += size
            if isinstance(store, Damaged):
                told = ("damaged, or of another version", "")
            else:
                told = (_of(store.key), " x ".join(map(str, (len(store), *store.cell))))
            table.add_row(path.stem, *told, f"{size / 1e6:.1f}")
        console.print(table)
        console.print(
            f"{total / 1e6:.1f} MB of stores in {folder}; safe to delete", soft_wrap=True
        )


@dataclass(frozen=True, kw_only=True)
class Describe(OfDataset):
    """The paper's Tables 1 and 2 beside your copy: sizes, classes, texts, images, leaks."""

    max_images: int = 0
    """Compare at most this many images of each split, evenly spaced; 0 compares all."""

    def run(self, console: Console) -> None:
        from analysis.describing.describe import describe
        from mi2p.data.images import read_dataset

        require(self.max_images >= 0, "--max-images >= 0", max_images=self.max_images)
        root = ensure(self.dataset, self.data, echo=console.print)
        own = replace(protocol(self.dataset), data=data_spec(self))
        dataset = read_dataset(own.data, root)
        why = DATASETS[self.dataset].why
        with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("reading images", total=len(dataset.examples))
            paths = describe(
                dataset,
                own,
                why,
                self.results / "tables",
                progress=lambda done: bar.update(task, completed=done),
                max_images=self.max_images,
            )
        print(paths[0].read_text(encoding="utf-8"))
        for path in paths:
            console.print(str(path), soft_wrap=True)


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

Command = Annotated[
    Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Describe, tyro.conf.subcommand("describe")],
    tyro.conf.OmitSubcommandPrefixes,
]


def both_models(visual: str, textual: str) -> list[ModelSpec]:
    """Models that read everything there is of two backbones."""
    units = UnitSpec(attach=(1,))
    both = ModelSpec(name="me_cnn", visual=visual, textual=textual, units=units)
    return [both, replace(both, name="me_bert")]


def _folders(console: Console, command: OfDataset) -> tuple[Path, Path | None]:
    return find_inputs(
        console,
        command.dataset,
        data=command.data,
        weights=command.weights,
        cache=command.cache,
    )


def _prepare(
    console: Console,
    command: OfDataset,
    data: DataSpec,
    models: Sequence[ModelSpec],
    folders: tuple[Path, Path | None],
    *,
    device: Literal["auto", "cpu", "cuda"],
    make: MakeStore = make_here,
) -> list[str]:
    """Make the stores of `models`, and in any case that of the images; their files' names."""
    from mi2p.runtime import Runtime

    cache = absolute_cache(command.cache)
    runtime = Runtime(cache=cache, data=folders[0], weights=folders[1], device=device)
    results = command.results.absolute()
    prepare_stores(console, {data: models}, runtime, results=results, make=make)
    return list(runtime.prepared.values())


def _stores(cache: Path) -> Iterator[tuple[Path, Stored | Damaged]]:
    for path in sorted(cache.glob(f"*{SUFFIX}")):
        try:
            yield path, Stored(path)
        except Damaged as error:
            yield path, error


def _damaged(cache: Path) -> Iterator[tuple[Path, str]]:
    for path, store in _stores(cache):
        try:
            if isinstance(store, Damaged):
                raise store
            store.verify()
        except Damaged as error:
            yield path, str(error)


def _of(key: object) -> str:
    """The data set and encoder in a store's key, whose parts nest."""
    found = []
    for name, value in key.items() if isinstance(key, Mapping) else ():
        if isinstance(value, Mapping):
            found.append(_of(value))
        elif name in ("data", "encoder", "max_tokens", "dtype"):
            found.append(str(value))
        elif name == "size":
            found.append(f"{value} px")
    return " ".join(filter(None, found))


def main(arguments: list[str] | None = None) -> None:
    """Run a command; ends the process with 1, and the reason, where it fails."""
    command = tyro.cli(Command, args=arguments, prog="python -m mi2p.data")
    console = make_console()
    try:
        command.run(console)
    except KeyboardInterrupt:
        console.print("interrupted; stores that were finished are kept")
        sys.exit(INTERRUPTED)
    except (ValueError, RuntimeError, OSError) as error:
        told = "\n".join([str(error), *getattr(error, "__notes__", [])])
        console.print(f"error: {told}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
