"""Draw mIoU against latency or FLOPs: figure 4 of the context report, figure 1 of the kitti report.

Published figures stand beside what tools/benchmarks/speed.py measured here and, with --runs, beside the mIoU of runs
of our own. Hollow circles are published, filled squares our own, half-filled diamonds have a published mIoU and a cost
from here. A file OUT.csv beside the picture has the points with their sources; what lacks a number is left out by name.

Examples:
    python tools/analysis/plot_tradeoff.py --report kitti --x flops --out work_dirs/kitti_flops.png
    python tools/analysis/plot_tradeoff.py --speed work_dirs/speed.jsonl --report context --x latency --out latency.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.analysis.published import read_published
from mmext.analysis.report.run_reader import read_all
from mmext.analysis.speed.environment import PROJECT
from mmext.analysis.speed.records import read_speed_records
from mmext.analysis.speed.tradeoff_points import FLOPS, LATENCY, tradeoff
from mmext.analysis.tradeoff_figure import FORMATS, tradeoff_figure, write_csv
from mmext.common.arguments import output_file
from mmext.common.figures import save_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--report', required=True, metavar='NAME', help='report of published.yml: context or kitti')
    parser.add_argument('--x', choices=[LATENCY, FLOPS], default=LATENCY, help='default: %(default)s')
    parser.add_argument('--speed', nargs='+', type=Path, default=[], metavar='FILE', help='records of speed.py')
    parser.add_argument('--runs', nargs='+', type=Path, default=[], metavar='RUN', help='work dirs of runs of our own')
    parser.add_argument(
        '--out', type=output_file, required=True, metavar='PICTURE', help=f'one of {", ".join(FORMATS)}'
    )
    parser.add_argument('--dark', action='store_true', help='light on dark')
    args = parser.parse_args(argv)
    if args.out.suffix not in FORMATS:
        parser.error(f'--out {args.out}: give a name that ends in {", ".join(FORMATS)}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        records = [record for file in args.speed for record in read_speed_records(file)]
        content = tradeoff(args.report, args.x, read_published(), records, read_all(args.runs), PROJECT)
        title = f'{args.report} report: mIoU against {args.x if args.x == LATENCY else "FLOPs"}'
        save_figure(tradeoff_figure(content, title, 'dark' if args.dark else 'light'), args.out)
        write_csv(content, args.out.with_suffix('.csv'))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for reason in content.left_out:
        print(f'left out: {reason}')
    for reason in content.doubts:
        print(f'doubtful: {reason}')
    print(f'{args.out}: {len(content.points)} points')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
