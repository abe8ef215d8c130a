"""Prepare a land-cover set: class indices from colour-coded masks, and a train/val split.

RAW holds <id>_sat.jpg and <id>_mask.png side by side. The validation part is a folder of the same kind, a number of
pairs to draw from RAW, or a list of ids.

Examples:
    python tools/prepare/land_cover.py downloads/train data/land_cover --val downloads/validation
    python tools/prepare/land_cover.py downloads/train data/land_cover --val-count 257
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.segmentation.datasets.land_cover_preparation import prepare_land_cover


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('raw', type=Path, help='folder that holds <id>_sat.jpg and <id>_mask.png')
    parser.add_argument('out', type=Path, help='folder to make')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--val', type=Path, metavar='FOLDER', help='holds the validation pairs')
    source.add_argument('--val-count', type=int, default=0, metavar='N', help='validation pairs to draw from RAW')
    source.add_argument('--list', type=Path, metavar='FILE', help='names the validation pairs in RAW, one id a line')
    parser.add_argument('--seed', type=int, default=0, help='seed of --val-count (default: 0)')
    parser.add_argument(
        '--group-by',
        metavar='REGEX',
        help='pairs whose ids it finds the same in stay together, such as the tiles of one picture; '
        'the parts come as near to --val-count as that allows',
    )
    parser.add_argument(
        '--tolerance',
        type=int,
        default=0,
        metavar='N',
        help='accept colours that differ from a class colour by up to N in a channel, for masks with compression '
        'noise; 127 cuts each channel at 128 (default: 0)',
    )
    parser.add_argument('--others-unknown', action='store_true', help='pixels of any other colour become unknown')
    parser.add_argument('--copy', action='store_true', help='copy the pictures instead of linking to them')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        split = prepare_land_cover(
            args.raw,
            args.out,
            args.val,
            args.val_count,
            args.seed,
            args.list,
            args.tolerance,
            args.others_unknown,
            args.copy,
            args.group_by,
        )
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {len(split.train)} train, {len(split.val)} val')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
