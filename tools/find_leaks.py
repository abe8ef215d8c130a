"""Find pictures of the training that are in the validation or the test too.

Compares all pictures of all splits by content (SHA-256 of file and pixels), by what they show (a perceptual hash, then
a closer look at each pair: resized, compressed, brighter, slightly cropped and mirrored copies), and by their names
(VOC ids, neighbouring frames of videos). Frames that are neighbours by their names but do not look alike are warnings.

Exit code: 0 without a leak, also with warnings; 1 with leaks or if something is wrong.

Examples:
    python tools/find_leaks.py configs/quickstart.py --out leaks
    python tools/find_leaks.py CONFIG --exclude-list leaks.txt --keep-list train_clean.txt
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.common.running import load_config
from mmext.inspection.leak_lists import write_lists
from mmext.inspection.leak_page import FILE_NAME, build_page
from mmext.inspection.leak_rules import compile_frames
from mmext.inspection.leak_table import print_report, show_progress
from mmext.inspection.leaks import choose_splits, find_leaks
from mmext.inspection.listing import read_listing
from mmext.inspection.perceptual_hashes import DISTANCE


def frames(text: str) -> re.Pattern:
    try:
        return compile_frames(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='CONFIG', help='config, or folder that tools/inspect_data.py can read')
    parser.add_argument('--out', type=Path, metavar='DIR', help=f'write {FILE_NAME} and leaks.json into this folder')
    parser.add_argument('--exclude-list', type=Path, metavar='FILE', help='write the training pictures to leave out')
    parser.add_argument(
        '--keep-list', type=Path, metavar='FILE', help='write the other training pictures, such as for ann_file'
    )
    parser.add_argument('--splits', nargs='+', metavar='SPLIT', help='those to compare (default: all there are)')
    parser.add_argument(
        '--distance',
        type=int,
        default=DISTANCE,
        metavar='N',
        help=f'look closer at pictures whose hashes differ by up to N of 64 bits (default: {DISTANCE})',
    )
    parser.add_argument(
        '--frames',
        type=frames,
        metavar='REGEX',
        help=r'names of frames, such as "(?P<sequence>.+)_(?P<frame>\d+)"; replaces the kinds that are known',
    )
    parser.add_argument('--workers', type=int, default=4, metavar='N', help='threads that read files (default: 4)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        cfg = None if Path(args.source).is_dir() else load_config(args.source, args.cfg_options)
        listing = read_listing(cfg or args.source)
        splits = choose_splits(listing, args.splits)
        report = find_leaks(splits, args.distance, args.workers, args.frames, listing.source, show_progress)
        if args.out:
            report.write(args.out / 'leaks.json')
            build_page(report).write(args.out / FILE_NAME)
        written = write_lists(report, splits, cfg, args.exclude_list, args.keep_list)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print_report(report)
    for line in [*([f'{args.out / FILE_NAME}: the pairs side by side'] if args.out else []), *written]:
        print(line)
    return int(report.leaks)


if __name__ == '__main__':
    raise SystemExit(main())
