"""Prepare PASCAL VOC, split into VOC2007 trainval, VOC2007 test and VOC2012 val, and prove that no picture is in two.

Unpacks the official archives into one VOCdevkit folder, checks every image, annotation and list, and prints what each
part holds. All problems, counts and the SHA-256 of every image go to voc0712_split.json in that folder.

Examples:
    python tools/prepare/voc.py VOCtrainval_06-Nov-2007.tar VOCtest_06-Nov-2007.tar VOCtrainval_11-May-2012.tar
    python tools/prepare/voc.py --check-only --out data/VOCdevkit
    python tools/prepare/voc.py --out data/VOCdevkit --rule empty_box=drop
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmext.detection.datasets.voc_preparation import MANIFEST, prepare_voc
from mmext.detection.datasets.voc_problems import KINDS


def kind_and_rule(text: str) -> tuple[str, str]:
    kind, _, rule = text.partition('=')
    if rule not in KINDS.get(kind, ((),))[0]:
        known = ', '.join(f'{name}={"|".join(rules)}' for name, (rules, _) in KINDS.items() if len(rules) > 1)
        raise argparse.ArgumentTypeError(f'{text!r} is no rule; known: {known}')
    return kind, rule


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('archives', type=Path, nargs='*', metavar='TAR', help='official archives, not compressed')
    parser.add_argument(
        '--out', type=Path, default=Path('data/VOCdevkit'), help='the VOCdevkit folder (default: data/VOCdevkit)'
    )
    parser.add_argument('--check-only', action='store_true', help='check the folder and write nothing')
    parser.add_argument(
        '--rule',
        type=kind_and_rule,
        action='append',
        default=[],
        metavar='KIND=RULE',
        help='what becomes of a kind of problem: error, warn (keep, repaired) or drop (the object); may be repeated',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        report = prepare_voc(args.out, args.archives, dict(args.rule), args.check_only)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    # Piped output has no width of its own, and rich would fold every line at column 80.
    console = Console(width=None if sys.stdout.isatty() else 220)
    for table in report.tables():
        console.print(table)
    for note in report.notes:
        console.print(f'Note: {note}', markup=False)
    if errors := report.all_errors():
        listed = '' if args.check_only else f', all in {args.out / MANIFEST}'
        print(f'error: {errors[0]} (errors: {len(errors)}{listed})', file=sys.stderr)
        return 1
    console.print(f'{args.out}: no picture is in two parts', markup=False)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
