"""Processes that train one trial together on CPUs, for tests."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

LONGEST = 240.0
"""Seconds that a team may take."""


def in_a_team(size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(*args)` gives in each of `size` new processes of one gloo group, by rank.

    What is raised in one is raised here, with its traceback as a note; then all are ended.
    """
    context = mp.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    port = _free_port()
    processes = [
        context.Process(
            target=_work, args=(rank, size, port, sending, function, args), daemon=True
        )
        for rank, (_, sending) in enumerate(pipes)
    ]
    for process, (_, sending) in zip(processes, pipes, strict=True):
        process.start()
        sending.close()  # here, so that the end of the process closes it
    try:
        return _answers([receiving for receiving, _ in pipes])
    finally:
        for process in processes:
            process.kill()
            process.join()


def raised_in_a_team(size: int, function: Callable[..., Any], *args: Any) -> list[Exception]:
    """What `function(*args)` raises in each process; `AssertionError` if one does not."""
    found = in_a_team(size, _caught, function, *args)
    assert all(isinstance(each, Exception) for each in found), found
    return found


def _caught(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001
        return error


def _work(
    rank: int,
    size: int,
    port: int,
    answer: Connection,
    function: Callable[..., Any],
    args: Sequence[Any],
) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    try:
        answer.send_bytes(pickle.dumps(function(*args)))
    except Exception as error:  # noqa: BLE001
        error.add_note(traceback.format_exc())
        answer.send_bytes(pickle.dumps(_Raised(error)))
    finally:
        answer.close()


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error, self.notes = error, list(error.__notes__)


def _answers(pipes: Sequence[Connection]) -> list[Any]:
    found: dict[int, Any] = {}
    while len(found) < len(pipes):
        ready = wait([pipe for rank, pipe in enumerate(pipes) if rank not in found], LONGEST)
        assert ready, f"processes {sorted(set(range(len(pipes))) - set(found))} are stuck"
        for pipe in ready:
            assert isinstance(pipe, Connection)
            rank = pipes.index(pipe)
            # Plain pickles hold tensors' values, and no handle of the process's memory.
            found[rank] = pickle.loads(pipe.recv_bytes())  # EOFError: it died
            if isinstance(found[rank], _Raised):
                for note in found[rank].notes:
                    found[rank].error.add_note(note)
                raise found[rank].error
    return [found[rank] for rank in range(len(pipes))]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
