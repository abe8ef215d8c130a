"""Kill trainings at random moments with SIGKILL, let them go on, and compare them with undisturbed ones, bit by bit.

Compared are weights, averaged weights, optimizer, schedulers, best checkpoint and every logged scalar but times.

Examples:
    python tools/benchmarks/kill_test.py --kills 50
    python tools/benchmarks/kill_test.py --kills 4 --config configs/quickstart.py --workers 2 --processes 1
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch

from mmext.common import kill_test


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--kills', type=int, default=50, help='trainings to kill, over all cases (default: 50)')
    parser.add_argument('--loops', nargs='+', choices=kill_test.LOOPS, default=kill_test.LOOPS, help='of the toy')
    parser.add_argument('--workers', nargs='+', type=int, default=[0, 2], help='of each dataloader (default: 0 2)')
    parser.add_argument('--processes', nargs='+', type=int, default=[1, 2], help='of gloo groups (default: 1 2)')
    parser.add_argument('--config', help='a config of iterations to train in place of the toy, shortened')
    parser.add_argument('--iterations', type=int, default=20, help='of --config (default: 20)')
    parser.add_argument('--seed', type=int, default=0, help='of the trainings and of the choice of moments')
    parser.add_argument('--keep', metavar='DIR', help='folder for the runs; those that differ stay there')
    args = parser.parse_args(argv)
    if args.kills < 1 or min(args.workers) < 0 or min(args.processes) < 1:
        parser.error('--kills and --processes are at least 1, --workers at least 0')
    return args


def cases(args: argparse.Namespace) -> Iterator[kill_test.Case]:
    for processes, workers in product(args.processes, args.workers):
        suffix = f'{workers} workers, {processes} process{"es" * (processes > 1)}'
        if args.config:
            cfg = kill_test.real_task(args.config, workers, args.iterations)
            yield kill_test.Case(f'{Path(args.config).stem}, {suffix}', cfg, processes, args.seed)
            continue
        for loop in args.loops:
            cfg = kill_test.toy_task(loop, workers, processes)
            yield kill_test.Case(f'{loop}, {suffix}', cfg, processes, args.seed)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    torch.set_num_threads(1)  # of several processes on one machine
    choice, begin, same, survived = random.Random(args.seed), time.monotonic(), 0, []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            tasks = list(cases(args))
            for index, case in enumerate(tasks):
                share = args.kills // len(tasks) + (index < args.kills % len(tasks))
                folder = Path(args.keep or scratch) / case.name.replace(', ', '_').replace(' ', '_')
                for result in kill_test.run_case(case, share, folder, choice) if share else ():
                    same += not result.differences
                    survived += [result.survival_s] * (result.survival_s is not None)
                    verdict = '; '.join(result.differences[:3]) or 'identical'
                    print(f'{case.name}: killed in {", then in ".join(result.moments)}: {verdict}', flush=True)
        except (OSError, RuntimeError, ValueError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
    print(f'{same} of {args.kills} bit-identical, in {time.monotonic() - begin:.0f} s')
    print(f'after the main process alone was killed, the others ended within {max(survived):.1f} s')
    return 0 if same == args.kills else 1


if __name__ == '__main__':
    raise SystemExit(main())
