"""Compare runs image by image: scores, differences to the first run, and whether these are more than chance.

    python tools/analysis/compare_runs.py work_dirs/A work_dirs/B [work_dirs/C ...] [--metric mIoU] [--out DIR]

Each argument is a file image_scores_{val,test}.jsonl of SegmentationMetric, or a folder, of which the newest such file
is taken. A paired bootstrap over the images gives intervals and p-values (`mmext.analysis.run_comparison`). Several
comparisons raise the chance of a small p: of twenty classes one is below 0.05 by chance.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmext.analysis import run_comparison as comparison
from mmext.common.arguments import at_least, output_folder
from mmext.common.files import write_json
from mmext.common.image_scores import find_image_scores, read_image_scores


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', type=Path, metavar='FILE|FOLDER', help='two or more; the first is the base')
    parser.add_argument('--metric', default='mIoU', help='mIoU, mAcc, mDice, aAcc, fwIoU, IoU.<class>, ...')
    parser.add_argument('--resamples', type=at_least(1), default=10_000, help='of the bootstrap (default: 10000)')
    parser.add_argument('--seed', type=at_least(0), default=0, help='of the bootstrap (default: 0)')
    parser.add_argument('--not-in-mean', nargs='*', metavar='CLASS', help='classes that means leave out')
    parser.add_argument('--out', type=output_folder, metavar='DIR', help='write DIR/comparison.json')
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error('a comparison needs two runs')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        runs = [read_image_scores(find_image_scores(run)) for run in args.runs]
        labels = comparison.labels_of(args.runs)
        report = comparison.compare_runs(runs, labels, args.metric, args.resamples, args.seed, args.not_in_mean)
        if args.out:
            write_json(args.out / 'comparison.json', report)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    console = Console(width=max(Console().width, 110))
    for run, label in zip(runs, labels, strict=True):
        print(f'{label}: {run.path}')
    console.print(comparison.comparison_table(report))
    for run in report['runs'][1:]:
        console.print(comparison.class_differences_table(report, run))
    if args.out:
        print(f'written: {args.out / "comparison.json"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
