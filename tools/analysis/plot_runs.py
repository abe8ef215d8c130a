"""Draw the curves of training runs: losses, learning rate, training beside validation, and scores.

    python tools/analysis/plot_runs.py work_dirs/A [work_dirs/B ...] [--names ImageNet COCO] [--out DIR]

Each argument is a work dir, a folder of logs in it, or a scalars.json; the starts of a resumed run in one work dir are
joined. Works for every task. Written are DIR/losses, lr, train_val and metrics - those for which there is data - as
pictures, each with its numbers as CSV. Runs with EpochLossesHook have exact means of their epochs, runs with
ValLossHook or DetectionValLossHook a validation loss.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.analysis.curve_figure import draw_figures
from mmext.analysis.curve_panels import FIGURES
from mmext.analysis.run_curves import read_runs
from mmext.common.arguments import output_folder


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN', help='work dir, folder of logs or scalars.json')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='what to call the runs (default: their folders)')
    parser.add_argument(
        '--out', type=output_folder, default=Path('work_dirs/figures'), metavar='DIR', help='default: %(default)s'
    )
    parser.add_argument(
        '--figures', nargs='+', choices=list(FIGURES), help='which to draw (default: all for which there is data)'
    )
    parser.add_argument(
        '--metrics', nargs='+', metavar='NAME', help='scores to draw, also patterns such as "AP*" (default: the means)'
    )
    parser.add_argument('--format', default='png', choices=['png', 'svg', 'pdf'], help='default: %(default)s')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        runs = read_runs(args.runs, args.names)
        for run in runs:
            for note in run.notes:
                print(f'note: {note}', file=sys.stderr)
        written = draw_figures(runs, args.out, args.figures, args.metrics, args.format)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
