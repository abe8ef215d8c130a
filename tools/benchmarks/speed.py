"""Time models as they predict: the network alone, and the whole path from picture files to results by stages.

Every combination of config, batch and precision is measured in a process of its own, which costs 10 to 20 seconds for
its start; with --compile and --channels-last each is measured without and with. FILE gets one JSON record a
measurement, added to what it holds. A combination that fails is a record with an error; the others are measured, and
the exit status is 1. Weights are random without --checkpoint: they do not change the speed, but for detectors, whose
number of proposals and detections follows from them.

Examples:
    python tools/benchmarks/speed.py configs/quickstart.py
    python tools/benchmarks/speed.py a.py b.py --shape 512 1024 --batch 1 8 --precision fp32 bf16
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmext.analysis.speed.records import DEFAULT_FILE
from mmext.analysis.speed.runs import combinations, facts, measure_all, print_speed_table
from mmext.analysis.speed.subject import PRECISIONS, picture_files
from mmext.common.arguments import at_least, output_file
from mmext.common.checkpoints import add_trust_option


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    one = at_least(1)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='leaf configs of any of the three toolboxes')
    parser.add_argument('--shape', nargs=2, type=one, metavar=('H', 'W'), help="default: the config's test size")
    parser.add_argument('--batch', nargs='+', type=one, default=[1], metavar='N', help='images at a time (default: 1)')
    parser.add_argument('--device', help='default: the GPU if there is one')
    parser.add_argument(
        '--precision', nargs='+', choices=PRECISIONS, default=['fp32'], help='others than fp32 by autocast'
    )
    parser.add_argument('--compile', action='store_true', help='also measure with torch.compile')
    parser.add_argument('--channels-last', action='store_true', help='also measure in this memory format')
    parser.add_argument('--repeats', type=one, default=20, metavar='N', help='passes to time (default: 20)')
    parser.add_argument('--images', type=Path, metavar='FOLDER', help='pictures for the whole path (default: noise)')
    parser.add_argument('--checkpoint', nargs='+', default=[], metavar='FILE', help='weights, one file a config')
    parser.add_argument(
        '--out',
        type=output_file,
        default=DEFAULT_FILE,
        metavar='FILE',
        help='records, JSON Lines (default: %(default)s)',
    )
    add_trust_option(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        for file in (*args.configs, *args.checkpoint):
            if not Path(file).is_file():
                raise FileNotFoundError(f'{file}: no such file')
        if args.images:
            picture_files(args.images)
        shared = dict(
            shape_hw=tuple(args.shape) if args.shape else None,
            device=args.device,
            repeats=args.repeats,
            images=str(args.images) if args.images else None,
            trusted=tuple(args.trust_checkpoint),
        )
        options = args.batch, args.precision, args.compile, args.channels_last
        settings = combinations(args.configs, args.checkpoint, *options, **shared)
        records = measure_all(settings, args.out)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'stopped; {args.out} has what was measured until then', file=sys.stderr)
        return 130
    console = Console()
    print_speed_table(records, console)
    console.print('\n'.join(facts(records)), markup=False, highlight=False, soft_wrap=True)
    print(args.out)
    return int(any(record.error for record in records))


if __name__ == '__main__':
    raise SystemExit(main())
