import multiprocessing
import socket
from collections.abc import Callable

import pytest
import torch


def _work(rank: int, port: int, function: Callable, arguments: tuple, results: multiprocessing.Queue) -> None:
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    results.put((rank, function(rank, *arguments)))
    torch.distributed.destroy_process_group()


@pytest.fixture
def in_two_processes() -> Callable[..., list]:
    """Call ``function(rank, *arguments)`` in two processes of one gloo group; what both return, by rank."""

    def call(function: Callable, *arguments) -> list:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        # Forked: a fresh interpreter would need seconds to import the toolbox.
        context = multiprocessing.get_context('fork')
        results = context.Queue()
        workers = [
            context.Process(target=_work, args=(rank, port, function, arguments, results), daemon=True)
            for rank in range(2)
        ]
        for worker in workers:
            worker.start()
        found = dict(results.get(timeout=60) for _ in workers)
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        return [found[rank] for rank in range(2)]

    return call
