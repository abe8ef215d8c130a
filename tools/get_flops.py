"""Parameters, MACs and FLOPs of a config's model, at one input size, by module.

    python tools/get_flops.py CONFIG [--shape H W] [--json FILE] [--by-module DEPTH] [--scope model|backbone]

Works for mmseg, mmdet and mmpretrain configs (chosen by `default_scope`), on the CPU, without weights or data.
What is counted how: `mmext.analysis.flops`.
"""

import argparse
import sys
from collections.abc import Sequence


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    from mmengine.config import DictAction

    from mmext.common.arguments import at_least, output_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file whose model is counted')
    parser.add_argument(
        '--shape', type=at_least(1), nargs=2, metavar=('H', 'W'), help='input size; default: from the config'
    )
    parser.add_argument('--json', type=output_file, metavar='FILE', help='also write all figures to this file')
    parser.add_argument(
        '--by-module', type=at_least(0), default=1, metavar='DEPTH', help='depth of the table (default: 1)'
    )
    parser.add_argument('--scope', choices=('model', 'backbone'), default='model', help='what is counted')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override the config')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    from mmext.analysis.flop_report import format_report, to_dict
    from mmext.analysis.flops import count_config
    from mmext.common.files import write_json

    try:
        report = count_config(args.config, args.shape, scope=args.scope, options=args.cfg_options)
        if args.json:
            write_json(args.json, {'config': args.config, 'scope': args.scope, **to_dict(report, args.by_module)})
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{args.config} ({args.scope})')
    print(format_report(report, args.by_module))
    if args.json:
        print(f'figures written to {args.json}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
