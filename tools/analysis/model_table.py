"""Parameters, true multiply-adds, and torchinfo's mult-adds and pass size of classifiers beside the published table.

    python tools/analysis/model_table.py CONFIG ... [--shape H W] [--json FILE] [--markdown FILE]

Counted for one image on the CPU without weights; the size is that of the config's test pipeline or backbone. Where the
report prints a size for the config, it stands beside ours: "exact", or how far ours is away. A note says what the
published "FLOPs" are.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction
from rich.console import Console

from mmext.analysis.published import PUBLISHED, read_published
from mmext.common.arguments import at_least, output_file
from mmext.common.files import write_json, write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files of classifiers')
    parser.add_argument(
        '--shape', type=at_least(1), nargs=2, metavar=('H', 'W'), help="image size, instead of the configs'"
    )
    parser.add_argument('--json', type=output_file, metavar='FILE', help='also write all figures to this file')
    parser.add_argument('--markdown', type=output_file, metavar='FILE', help='also write table and note to this file')
    parser.add_argument('--published', metavar='FILE.yml', default=PUBLISHED, help='other published figures')
    parser.add_argument('--root', type=Path, default=Path(), help='folder that holds configs/ (default: this one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    from mmext.analysis import model_table  # fvcore takes seconds to import

    size_hw = tuple(args.shape) if args.shape else None
    try:
        published = read_published(args.published)
        rows = [model_table.count_model(path, size_hw, published, args.root, args.cfg_options) for path in args.configs]
        if args.markdown:
            write_text(args.markdown, model_table.markdown_table(rows))
        if args.json:
            write_json(args.json, {'note': model_table.NOTE, 'rows': [model_table.to_dict(row) for row in rows]})
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    # Piped output has no width of its own, and rich would fold every cell at column 80.
    console = Console(width=None if sys.stdout.isatty() else 220)
    console.print(model_table.rich_table(rows))
    console.print(model_table.NOTE, highlight=False, markup=False)
    for row in rows:
        if row.unknown:
            print(f'warning: {row.config}: MACs lack the cost of {", ".join(row.unknown)}', file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
