"""Kills a training, lets it go on until it has ended, and says whether that made a difference."""

import copy
import importlib
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mmengine.config import Config

from .comparison import differences
from .task import CHECKPOINT, STEP, VALIDATION, train
from .victim import Victim

# What every training imports in its course, and takes seconds to import.
SLOW_IMPORTS = ('torch._inductor', 'matplotlib.backends.backend_agg', 'matplotlib.pyplot')
NAMES = {STEP: 'step', VALIDATION: 'validation', CHECKPOINT: 'checkpoint'}


@dataclass(frozen=True)
class Case:
    """A training to be killed.

    Attributes:
        name: For people.
        cfg: Its settings.
        processes: That train together.
        seed: Of the training.
    """

    name: str
    cfg: Config
    processes: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """What became of a training that was killed.

    Attributes:
        moments: When it was killed, once or twice: ``'checkpoint 2 + 3.1 ms'``.
        differences: From the training that was not.
        survival_s: How long other processes ran after the first one alone was killed; None if all were.
    """

    moments: list[str]
    differences: list[str]
    survival_s: float | None


def run_case(case: Case, kills: int, folder: str | Path, choice: random.Random) -> Iterator[Result]:
    """Trains once undisturbed, then so often that ``kills`` trainings have been killed and have gone on to the end.

    The moments are within a step, a validation or the writing of a checkpoint, in turns; the first training loses its
    first process alone, so that the others have to notice; every fourth is killed a second time.

    Args:
        case: What to train.
        kills: Number of trainings that are killed.
        folder: For the work dirs; those without differences are removed.
        choice: Of the moments.

    Raises:
        RuntimeError: the undisturbed training fails, or a process outlives its parent.
    """
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / 'output.log'
    whole = folder / 'whole'
    with _start(case, whole, log) as victim:
        seen = victim.moments()
        if any(victim.wait()):
            raise RuntimeError(f'{case.name}: the training fails without being killed:\n{_tail(log)}')
    kinds = [kind for kind in NAMES if any(each == kind for each, _ in seen)]
    choice.shuffle(kinds)  # so that a few trainings in each of many cases meet all of them
    for index in range(kills):
        work_dir, moments, survival = folder / f'killed{index}', [], None
        for number in range(2 if index % 4 == 3 else 1):
            kind = kinds[(index + number) % len(kinds)]
            with _start(case, work_dir, log) as victim:
                moments.append(_wait(victim, kind, seen, choice))
                alone = index == 0
                lasted = victim.kill(whole_group=not alone)
                survival = lasted if alone else survival
        with _start(case, work_dir, log) as victim:
            statuses = victim.wait()
        found = [f'exit status {statuses}: {_tail(log)}'] if any(statuses) else differences(whole, work_dir)
        if not found:
            shutil.rmtree(work_dir)
        yield Result(moments, found, survival)


def _start(case: Case, work_dir: Path, log: Path) -> Victim:
    def work(launcher: str, moments: int | None) -> None:
        train(copy.deepcopy(case.cfg), str(work_dir), case.seed, launcher, moments)

    return Victim(work, case.processes, log)


def _wait(victim: Victim, kind: int, seen: list[tuple[int, float]], choice: random.Random) -> str:
    """Wait for a random moment of a kind and for a part of the time until the next moment."""
    gaps = [after - before for (each, before), (_, after) in pairwise(seen) if each == kind]
    number, delay_s = choice.randint(1, len(gaps)), choice.uniform(0, statistics.median(gaps))
    if not victim.wait_for(kind, number):
        return 'at the end'
    time.sleep(delay_s)
    return f'{NAMES[kind]} {number} + {1e3 * delay_s:.1f} ms'


def _tail(log: Path) -> str:
    return '\n'.join(log.read_text(errors='replace').splitlines()[-20:])
