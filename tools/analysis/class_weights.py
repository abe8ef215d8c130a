"""Count the pixels of each class and derive class weights for a loss.

    python tools/analysis/class_weights.py CONFIG [--split train] [--scheme log1p]
    python tools/analysis/class_weights.py MASK_FOLDER [--classes cityscapes|NAMES.txt]

Prints a table, writes DIR/class_weights_<scheme>.json (name it as `class_weight` of ClassBalancedLoss or
OhemBalancedLoss) and DIR/class_distribution.png. Formulas: `mmext.common.class_balance`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction
from rich.console import Console

from mmext.common.arguments import at_least, output_folder
from mmext.common.class_balance import FORMULAS, SCHEMES, class_weights, write_class_balance


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='CONFIG|MASK_FOLDER')
    parser.add_argument('--split', default='train', help='of a config: which data loader (default: train)')
    parser.add_argument('--scheme', choices=SCHEMES, default='log1p')
    parser.add_argument(
        '--beta', type=at_least(0, float), default=0.9999, help='of the scheme effective (default: 0.9999)'
    )
    parser.add_argument(
        '--classes', default='cityscapes', help='of a folder: cityscapes, or a file with one name a line'
    )
    parser.add_argument('--pattern', default='*.png', help='of a folder: names of the masks (default: *.png)')
    parser.add_argument('--ignore-index', type=at_least(0), help="default: the data set's, for a folder 255")
    parser.add_argument('--out', type=output_folder, metavar='DIR', help='default: work_dirs/class_weights/<name>')
    parser.add_argument('--workers', type=at_least(1), default=2, help='reading threads (default: 2)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(argv)
    if args.beta >= 1:
        parser.error(f'--beta {args.beta}: 0 <= beta < 1 is needed, for example 0.9999')
    return args


def run(args: argparse.Namespace) -> None:
    from mmext.common.figures import class_distribution_figure, save_figure
    from mmext.common.running import load_config
    from mmext.segmentation.datasets import class_statistics as counting

    if Path(args.source).is_dir():
        source = counting.masks_of_folder(args.source, args.classes, args.ignore_index, args.pattern)
    else:
        source = counting.masks_of_config(load_config(args.source, args.cfg_options), args.split, args.ignore_index)
    statistics, encoding = counting.count_classes(source, args.workers, progress=True)
    weights = class_weights(statistics, args.scheme, args.beta)
    out = args.out or Path('work_dirs/class_weights') / source.name
    caption = f'{source.name}: {statistics.num_files} masks'
    Console().print(counting.class_table(statistics, weights, f'{caption}, {encoding}'))
    print(f'{statistics.ignored_pixels:,} pixels are ignored')
    if statistics.absent:
        print(f'warning: no pixel of {", ".join(statistics.absent)}: weight 0')
    print(f'{args.scheme}: {FORMULAS[args.scheme]}')
    write_class_balance(out / f'class_weights_{args.scheme}.json', statistics, args.scheme, args.beta)
    notes = [f'w {weight:.3g}' for weight in weights]
    caption = f'{caption}, w: {args.scheme} weight'
    figure = class_distribution_figure(statistics.names, statistics.pixels, source.palette, notes, caption)
    save_figure(figure, out / 'class_distribution.png')
    print(f'written: {out / f"class_weights_{args.scheme}.json"}, {out / "class_distribution.png"}')


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        run(args)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
