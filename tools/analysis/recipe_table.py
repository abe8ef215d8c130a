"""Every row of the reports' segmentation tables with its config and the published figures ("-" where there is none).

    python tools/analysis/recipe_table.py [--report kitti] [--flops] [--markdown FILE] [--json FILE]

With --flops each model with a published cost is counted at the size of its row, on the CPU without weights, and stands
beside the published figure. The exit status is 1 when a config is missing or a count is out of tolerance.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmext.analysis.published import PUBLISHED, PublishedError, read_published
from mmext.analysis.recipe_table import check_recipes, markdown_table, rich_table, to_dict
from mmext.common.arguments import output_file
from mmext.common.files import write_json, write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--report', metavar='NAME', help='only this report, such as kitti')
    parser.add_argument('--flops', action='store_true', help='also count the models, a few seconds each')
    parser.add_argument('--markdown', type=output_file, metavar='FILE', help='also write the table to this file')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='also write all figures to this file')
    parser.add_argument('--published', metavar='FILE.yml', default=PUBLISHED, help='other published figures')
    parser.add_argument('--root', type=Path, default=Path(), help='folder that holds configs/ (default: this one)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        rows = read_published(args.published)
    except (PublishedError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    reports = sorted({row.report for row in rows})
    if args.report:
        rows = [row for row in rows if row.report == args.report]
        if not rows:
            print(f'error: --report {args.report}: expected one of {", ".join(reports)}', file=sys.stderr)
            return 1
    checks = list(check_recipes(rows, args.root, args.flops))
    # Piped output has no width of its own, and rich would fold every cell at column 80.
    Console(width=None if sys.stdout.isatty() else 220).print(rich_table(checks, args.flops))
    try:
        if args.markdown:
            write_text(args.markdown, markdown_table(checks))
        if args.json:
            write_json(args.json, [to_dict(check) for check in checks])
    except OSError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    problems = [check for check in checks if check.problem]
    for check in problems:
        print(f'error: {check.row.config}: {check.problem}', file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
