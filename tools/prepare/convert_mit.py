"""Turns SegFormer / MiT weights of the authors (NVlabs) or of Hugging Face into mmseg's.

    python tools/prepare/convert_mit.py mit_b0.pth checkpoints/mit_b0_mmseg.pth
    python tools/prepare/convert_mit.py model.safetensors checkpoints/segformer_b0_cityscapes_mmseg.pth --report r.json

A backbone alone is written with bare names, for `backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...))`; a
whole model with `backbone.` and `decode_head.`, for `load_from`. mmengine loads `.pth`; write `.safetensors` to pass
the weights on. Every tensor is listed; the exit status is 1 when one that the architecture needs is missing.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmext.common.files import write_text
from mmext.common.weight_conversion import WeightsError, read_state_dict, write_state_dict
from mmext.segmentation.converters.mit import convert_mit
from mmext.segmentation.converters.mit_sizes import ARCHS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help='.pth, .bin or .safetensors')
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument(
        '--arch',
        choices=('auto', *ARCHS, 'custom'),
        default='auto',
        help='architecture that the result must fit; custom takes any depths and widths (default: %(default)s)',
    )
    parser.add_argument('--report', metavar='F.json', type=Path, help='also write the report as JSON')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace, console: Console) -> None:
    """Raises WeightsError, its message fit to be shown, unless DST has been written."""
    if args.src.resolve() == args.dst.resolve():
        raise WeightsError(f'{args.dst}: is the source itself. Fix: give another DST.')
    source = read_state_dict(args.src)
    try:
        converted, report = convert_mit(source, args.arch if args.arch in ARCHS else None)
    except WeightsError as error:
        raise WeightsError(f'{args.src}: {error}') from error
    console.print(report.table())
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.report, report.to_json())
    if not report.ok:
        raise WeightsError(report.error(str(args.src)))
    if args.arch == 'auto' and report.arch not in ARCHS:
        raise WeightsError(
            f'{args.src}: {report.arch} is none of the published {", ".join(ARCHS)}; whole blocks may be missing. '
            'Fix: fetch the file again, or give --arch custom if the sizes are meant.'
        )
    meta = {'arch': report.arch, 'layout': report.layout, 'source': args.src.name, 'notes': report.notes}
    write_state_dict(args.dst, converted, meta)
    for note in report.notes:
        console.print(f'Note: {note}', markup=False)
    console.print(f'{report.summary()}\nwritten to {args.dst}', markup=False)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    # Piped output has no width of its own, and rich would fold every name at column 80.
    console = Console(width=None if sys.stdout.isatty() else 220)
    try:
        convert(args, console)
    except (WeightsError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
