"""Every row of the reports' tables with its config and the published figures ("-" where there is none).

    python tools/analysis/recipe_table.py [--report kitti] [--flops | --counts FILE] [--markdown FILE] [--json FILE]

With --flops each model is counted on the CPU without weights, a few seconds each, at the size of the published figure
or else of its test, and stands beside that figure; --counts shows what an earlier --json FILE holds instead. Recipes
that no report names come last. The exit status is 1 when a config is missing or a count is out of tolerance.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmext.analysis.published import PUBLISHED, read_published
from mmext.analysis.recipe_page import recipe_page, reproduced_scores
from mmext.analysis.recipe_table import check_recipes, own_recipes, read_counts, rich_table, to_dict
from mmext.analysis.report.matching import match_runs
from mmext.analysis.report.run_reader import read_all
from mmext.common.arguments import output_file
from mmext.common.files import write_json, write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--report', metavar='NAME', help='only this report, such as kitti')
    counts = parser.add_mutually_exclusive_group()
    counts.add_argument('--flops', action='store_true', help='also count the models, a few seconds each')
    counts.add_argument('--counts', metavar='FILE', help='what an earlier --flops --json FILE counted')
    parser.add_argument('--runs', nargs='+', default=[], metavar='RUN', help='work dirs whose scores --markdown shows')
    parser.add_argument('--markdown', type=output_file, metavar='FILE', help='also write a page of tables')
    parser.add_argument('--json', type=output_file, metavar='FILE', help='also write all figures to this file')
    parser.add_argument('--published', metavar='FILE.yml', default=PUBLISHED, help='other published figures')
    parser.add_argument('--root', type=Path, default=Path(), help='folder that holds configs/ (default: this one)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        rows = read_published(args.published)
        counts = read_counts(args.counts) if args.counts else None
        ours = reproduced_scores(match_runs(read_all(args.runs), rows, args.root))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    rows += own_recipes(rows, args.root)
    reports = list(dict.fromkeys(row.report for row in rows))
    if args.report:
        if args.report not in reports:
            print(f'error: --report {args.report}: expected one of {", ".join(sorted(reports))}', file=sys.stderr)
            return 1
        rows = [row for row in rows if row.report == args.report]
    checks = list(check_recipes(rows, args.root, args.flops, counts))
    # Piped output has no width of its own, and rich would fold every cell at column 80.
    Console(width=None if sys.stdout.isatty() else 240).print(rich_table(checks))
    try:
        if args.markdown:
            write_text(args.markdown, recipe_page(checks, Path(args.markdown), args.root, ours))
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
