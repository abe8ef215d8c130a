"""Renders the small data sets that ship with the project, so that every recipe can be tried without a download.

python tools/prepare/make_samples.py                      # all sets into data/samples
python tools/prepare/make_samples.py --only kitti_seg --out work_dirs/samples --seed 1
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmext.common.arguments import at_least, output_folder
from mmext.common.samples.cifar100 import write_cifar100
from mmext.common.samples.kitti_seg import write_kitti_seg
from mmext.common.samples.land_cover import write_land_cover
from mmext.common.samples.pets import write_pets
from mmext.common.samples.voc_devkit import write_voc_devkit

# name of the set (and of its folder) -> function of folder and seed that yields (done, total) as it writes
SETS: dict[str, Callable[[Path, int], Iterator[tuple[int, int]]]] = {
    'kitti_seg': write_kitti_seg,
    'land_cover': write_land_cover,
    'VOCdevkit': write_voc_devkit,
    'cifar100': write_cifar100,
    'pets': write_pets,
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out', type=output_folder, default=Path('data/samples'), help='folder that receives one folder a set'
    )
    parser.add_argument('--only', choices=sorted(SETS), nargs='+', help='sets to render; all when left out')
    parser.add_argument('--seed', type=at_least(0), default=0, help='the same seed gives the same pixels; 0 or greater')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        for name in args.only or SETS:
            with Progress(*columns) as progress:
                task = progress.add_task(name, total=None)
                for done, total in SETS[name](args.out / name, args.seed):
                    progress.update(task, completed=done, total=total)
            print(f'{name}: {args.out / name}')
    except OSError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
