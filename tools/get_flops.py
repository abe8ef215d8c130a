"""Parameters, MACs and FLOPs of a config's model, at one input size, by module.

    python tools/get_flops.py CONFIG [--shape H W] [--json FILE] [--by-module DEPTH] [--scope model|backbone]

Works for mmseg, mmdet and mmpretrain configs (chosen by `default_scope`), on the CPU, without weights or data.
What is counted how: `mmext.analysis.flops`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file whose model is counted')
    parser.add_argument('--shape', type=int, nargs=2, metavar=('H', 'W'), help='input size; default: from the config')
    parser.add_argument('--json', metavar='FILE', help='also write all figures to this file')
    parser.add_argument('--by-module', type=int, default=1, metavar='DEPTH', help='depth of the table (default: 1)')
    parser.add_argument('--scope', choices=('model', 'backbone'), default='model', help='what is counted')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    args = parser.parse_args(argv)
    if args.shape and min(args.shape) < 1:
        parser.error(f'--shape {args.shape[0]} {args.shape[1]}: height and width must be at least 1')
    if args.json and Path(args.json).is_dir():
        parser.error(f'--json {args.json}: is a folder; give the name of a file')
    if args.by_module < 0:
        parser.error(f'--by-module {args.by_module}: the depth must be 0 (the whole model) or more')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    from mmext.analysis.flop_report import format_report, to_dict
    from mmext.analysis.flops import AnalysisError, count_config
    from mmext.common.files import write_json

    try:
        report = count_config(args.config, args.shape, scope=args.scope, options=args.cfg_options)
    except AnalysisError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{args.config} ({args.scope})')
    print(format_report(report, args.by_module))
    if args.json:
        write_json(args.json, {'config': args.config, 'scope': args.scope, **to_dict(report, args.by_module)})
        print(f'figures written to {args.json}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
