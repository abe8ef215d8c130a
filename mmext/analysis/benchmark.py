"""What the benchmarks share: time and memory of functions that stand beside each other, and how they are printed."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

T = TypeVar('T')


def median_ms(
    functions: Mapping[str, Callable[[], object]], repeats: int = 11, device: str = 'cpu'
) -> dict[str, float]:
    """Median milliseconds of each function, after two rounds of warm-up.

    They run in turn, so that a busy machine slows all alike; a GPU is waited for before and after each call.
    """
    wait = torch.cuda.synchronize if device.startswith('cuda') else lambda: None
    seconds = {name: [] for name in functions}
    for _ in range(repeats + 2):
        for name, function in functions.items():
            wait()
            start = time.perf_counter()
            function()
            wait()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values[2:]) for name, values in seconds.items()}


def peak_bytes(function: Callable[[], T], device: str = 'cpu') -> tuple[int, T]:
    """The most memory of tensors alive at a time during a call, beyond what was alive before it, and its result.

    On the CPU the allocations that the profiler records are summed, operators' own workspaces included: unlike the
    size of the process it does not depend on what the allocator keeps for later.
    """
    if device.startswith('cuda'):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before, result
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == '[memory]']
    alive = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak, result


def forward_backward(loss: Callable[[], Tensor], inputs: Tensor) -> None:
    """One training step's share of a loss."""
    torch.autograd.grad(loss(), inputs)


def same_loss(loss: Tensor, other: Tensor, inputs: Tensor, rtol: float = 1e-4) -> bool:
    """Whether two scalars agree, and their gradients where ``rtol`` is a share of the largest."""
    grad, other_grad = (torch.autograd.grad(value, inputs, retain_graph=True)[0] for value in (loss, other))
    close = torch.allclose(loss, other, rtol=rtol)
    return close and bool((grad - other_grad).abs().max() < rtol * grad.abs().max())


def print_times(
    title: str, times: Mapping[str, float], agreements: Mapping[str, bool], ours: str, theirs: str
) -> float:
    """Print milliseconds by name, what agrees with what, and last the ratio theirs / ours, which is returned."""
    table = Table('', 'ms', f'times as fast as {theirs.split()[0]}', title=title)
    for name, milliseconds in times.items():
        table.add_row(name, f'{milliseconds:.1f}', f'{times[theirs] / milliseconds:.2f}')
    Console(width=100).print(table)
    print_agreements(agreements)
    ratio = times[theirs] / times[ours]
    print(f'  ratio: {ours} is {ratio:.2f} times as fast as {theirs}')
    return ratio


def print_peaks(title: str, peaks: Mapping[str, Sequence[float]], columns: Sequence[str]) -> None:
    """Print the two peaks of each name, in MB, and their ratio."""
    table = Table('MB', *columns, 'ratio', title=title)
    for name, (first, second) in peaks.items():
        table.add_row(name, f'{first:.0f}', f'{second:.0f}', f'{second / first:.3f}')
    Console(width=100).print(table)


def print_agreements(agreements: Mapping[str, bool]) -> None:
    """Print one line for each comparison."""
    for name, agrees in agreements.items():
        print(f'  {"agrees" if agrees else "DIFFERS"}: {name}')
