"""Looks over the environment: versions, compiled operators, GPU, toolboxes; and how to mend what is wrong.

    python tools/doctor.py

The exit status is 1 if training cannot work. Needs nothing but Python, so it also runs in a broken environment.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

# Where mmext is not installed, that is to be the finding and not an ImportError here. The path goes again at once: with
# it, metadata in the source tree would pass for an installed mmext.
sys.path.append(str(Path(__file__).resolve().parents[1]))
from mmext.common import doctor
from mmext.common.files import write_json

sys.path.pop()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', default='work_dirs', help='where training will write (default: %(default)s)')
    parser.add_argument('--json', metavar='F', type=Path, help='also write the findings as JSON')
    parser.add_argument(
        '--timeout', type=float, default=120.0, metavar='S', help='seconds for the imports (default: %(default)g)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    versions, found = doctor.examine(args.work_dir, args.timeout)
    ok = all(check.status != doctor.ERROR for check in found)
    print(doctor.render(versions, found))
    if args.json:
        content = {'ok': ok, 'versions': versions, 'checks': [asdict(check) for check in found]}
        write_json(args.json, content)
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
