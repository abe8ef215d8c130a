"""Look over a training before it starts: a minute of checks on its own settings, model and data.

Loss of the untrained model against that of a uniform prediction, one batch learnt by heart, gradients module by module,
the learning rate of the whole run as a plot, time and memory, and mistakes in the settings. The exit status is 1 if
there are errors.

Examples:
    python tools/preflight.py configs/quickstart.py
    python tools/preflight.py configs/quickstart.py --skip forecast --cfg-options model.backbone.depth=34
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.preflight.finding import ERROR
from mmext.common.preflight.report import print_findings, write_report
from mmext.common.preflight.run import CHECKS, PLOT, Preflight
from mmext.common.running import load_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='of preflight.json and the plot (default: in work_dirs)'
    )
    parser.add_argument('--steps', type=int, default=40, metavar='N', help='steps on one batch (default: %(default)s)')
    parser.add_argument('--skip', action='append', default=[], choices=CHECKS, help='leave a check out (repeatable)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    add_trust_option(parser)
    args = parser.parse_args(argv)
    if args.steps < 1:
        parser.error(f'--steps {args.steps}: at least 1')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args, begin = parse_args(argv), time.perf_counter()
    try:
        apply_trust(args)
        cfg = load_config(args.config, args.cfg_options)
        out = args.out or Path(cfg.work_dir) / 'preflight'
        look = Preflight(cfg, out, args.steps, args.skip)
        findings = look.run()
        seconds = time.perf_counter() - begin
        write_report(out / 'preflight.json', args.config, findings, look.times, seconds)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print_findings(findings, seconds)
    plot = f' and {out / PLOT}' if (out / PLOT).is_file() else ''
    print(f'details: {out / "preflight.json"}{plot}')
    return int(any(finding.status == ERROR for finding in findings))


if __name__ == '__main__':
    raise SystemExit(main())
