"""Prepare KITTI-seg: trainIds and a train/val split from the raw layout of the benchmark.

RAW holds training/image_2 and training/semantic. The masks may hold label ids, trainIds or colours.

Examples:
    python tools/prepare/kitti.py downloads/data_semantics data/kitti_seg
    python tools/prepare/kitti.py downloads/data_semantics data/kitti_seg --group-by '^[0-9]{5}'
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.segmentation.datasets.kitti_preparation import prepare_kitti


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('raw', type=Path, help='folder that holds training/image_2 and training/semantic')
    parser.add_argument('out', type=Path, help='folder to make')
    parser.add_argument('--val-count', type=int, default=50, help='validation frames (default: 50)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the split (default: 0)')
    parser.add_argument(
        '--group-by',
        metavar='REGEX',
        help="frames whose names it finds the same in stay together, such as '^[0-9]{5}' for ten numbers each; "
        'the parts come as near to --val-count as that allows',
    )
    parser.add_argument('--list', type=Path, metavar='FILE', help='names the validation frames, one stem a line')
    parser.add_argument('--copy', action='store_true', help='copy the images instead of linking to them')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        split = prepare_kitti(args.raw, args.out, args.val_count, args.seed, args.list, args.copy, args.group_by)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {len(split.train)} train, {len(split.val)} val; the raw masks hold {split.encoding}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
