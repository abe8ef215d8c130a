"""One page of results: what the reports publish, what runs reached, and where every number comes from.

    python tools/report.py work_dirs/A [work_dirs/B ...] --out DIR [--speed work_dirs/speed.jsonl] [--check README.md]

DIR/report.html needs no other file and no network; report.md and report.csv hold the same. A run belongs to the
published row of its config's name; --as says otherwise. Every number on the page, and in the files of --check, must be
one of a run, of the published list, of the speed card, of the counts or of --known, or a setting of a recipe that the
text names; the exit status is 1 when one is not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmext.analysis.published import PUBLISHED, PublishedError, read_published
from mmext.analysis.recipe_table import read_counts, recipe_files
from mmext.analysis.report.costs import Costs
from mmext.analysis.report.known_numbers import KnownNumbers, file_numbers
from mmext.analysis.report.number_check import check_file
from mmext.analysis.report.recipe_numbers import recipe_numbers
from mmext.analysis.report.run_reader import read_all
from mmext.analysis.report.write import write_report
from mmext.analysis.speed.records import DEFAULT_FILE, read_speed_records
from mmext.common.arguments import output_folder

COUNTS = Path('docs/recipes.json')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='*', metavar='RUN', help='work dirs (none: the published figures alone)')
    parser.add_argument('--out', type=output_folder, required=True, metavar='DIR', help='where to write the page')
    parser.add_argument('--speed', metavar='FILE', help=f'measurements (default: {DEFAULT_FILE}, if it is there)')
    parser.add_argument(
        '--counts', metavar='FILE', help=f'what recipe_table.py --flops counted (default: {COUNTS}, if it is there)'
    )
    parser.add_argument('--check', nargs='+', default=[], metavar='FILE', help='also check the numbers in .md or .html')
    parser.add_argument('--known', nargs='+', default=[], metavar='FILE', help='more measurements: .json, .jsonl, .csv')
    parser.add_argument(
        *('--as', '-a'), dest='chosen', nargs=2, action='append', default=[], metavar=('RUN', 'ROW'),
        help='RUN is one of the row with this config, though its config has another name or its data lie elsewhere',
    )  # fmt: skip
    parser.add_argument('--published', metavar='FILE.yml', default=PUBLISHED, help='other published figures')
    parser.add_argument('--root', type=Path, default=Path(), help='folder that holds configs/ (default: this one)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        rows, runs = read_published(args.published), read_all([*args.runs, *(run for run, _ in args.chosen)])
        speed = args.speed or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
        records = read_speed_records(speed) if speed else []
        counts = args.counts or (args.root / COUNTS if (args.root / COUNTS).is_file() else None)
        costs = Costs(records, read_counts(counts) if counts else {}, str(counts or ''))
        extra = [known for path in args.known for known in file_numbers(path)]
        labels = {run.path.resolve(): run.label for run in runs}
        chosen = {labels[Path(run).resolve()]: row for run, row in args.chosen}
        written = write_report(runs, rows, costs, args.out, args.root, chosen, extra)
        settings = recipe_numbers(recipe_files(args.root), args.root) if args.check else ()
        known = KnownNumbers([*written.known.numbers, *settings])
        problems = [*written.problems, *(one for file in args.check for one in check_file(file, known, args.root))]
    except (PublishedError, ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    for path in written.files:
        print(path)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
