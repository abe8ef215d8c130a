"""Inspect a data set: open every file once, tell errors from warnings and notes, and write a passport of the data.

DATA is a config of any of the toolboxes, or a folder: pictures and masks in folders of their own or side by side,
VOCdevkit, one folder per class, or classes in the file names. OUT gets index.html, passport.json and a cache: started
again, also after an interruption, only files that are new or have changed are opened. The exit code is 1 if there are
errors.

Examples:
    python tools/inspect_data.py configs/quickstart.py --out work_dirs/passport
    python tools/inspect_data.py data/my_photos --out work_dirs/passport --fix data/my_photos_fixed
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.common.wording import counted
from mmext.inspection.fixes import REPORT, check_target, count_fixes, fix_data
from mmext.inspection.judgement import judge
from mmext.inspection.listing import read_listing
from mmext.inspection.page import write_page
from mmext.inspection.passport import LEVELS, TASKS
from mmext.inspection.scan import CACHE_NAME, pixels_of, scan


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='config *.py, or folder')
    parser.add_argument('--out', type=Path, required=True, help='folder for the page, the passport and the cache')
    parser.add_argument('--task', choices=TASKS, help='what a folder is for, where its layout allows several')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that read (default: all cores)')
    parser.add_argument(
        '--fix',
        type=Path,
        metavar='FOLDER',
        help='write a corrected copy of the data to a folder that is not there yet',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        listing = read_listing(args.data, args.task, args.cfg_options)
        if args.fix:
            # Before hours of reading, not after.
            check_target(listing, args.fix)
        scanned = scan(listing, args.out / CACHE_NAME, args.workers, progress=True)
        passport = judge(scanned)
        passport.write(args.out / 'passport.json')
        page = write_page(passport, args.out, pixels=pixels_of(scanned, passport))
        fixes = fix_data(scanned, args.fix) if args.fix else []
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for finding in passport.findings:
        print(f'{finding.level}: {finding.kind}: {finding.message}')
    counts = ', '.join(counted(len(passport.of_level(level)), level) for level in LEVELS)
    print(f'{args.data}: {counts}; {counted(scanned.opened, "file")} opened now; see {page}')
    if args.fix:
        print(f'{args.fix}: {count_fixes(fixes)}, listed in {REPORT}')
    return 0 if passport.ok else 1


if __name__ == '__main__':
    raise SystemExit(main())
