"""Turns Cityscapes weights of hszhao/semseg and VainF/DeepLabV3Plus-Pytorch into those of our models.

    python tools/prepare/convert_street.py train_epoch_200.pth checkpoints/psanet_r101_cityscapes.pth
    python tools/prepare/convert_street.py resnet101_v2.pth checkpoints/resnet101_semseg.pth
    python tools/prepare/convert_street.py best_deeplabv3plus_mobilenet_cityscapes_os16.pth checkpoints/deeplab.pth

The source is told by its names: PSPNet, PSANet or the ImageNet ResNet of semseg, or DeepLabV3+ MobileNetV2. Whole
networks are for `load_from` or `tools/test.py`, a ResNet alone for `backbone=dict(init_cfg=dict(type='Pretrained',
checkpoint=...))`. Every tensor is listed; the exit status is 1 when one that the network needs is missing.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmext.common.files import write_text
from mmext.common.weight_conversion import WeightsError, read_state_dict, write_state_dict
from mmext.segmentation.converters.deep_lab_v3_plus import convert_deep_lab_v3_plus
from mmext.segmentation.converters.semseg import convert_semseg


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help='.pth, .bin or .safetensors')
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument('--custom', action='store_true', help='accept depths and widths that were never published')
    parser.add_argument('--report', metavar='F.json', type=Path, help='also write the report as JSON')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace, console: Console) -> None:
    """Raises WeightsError, its message fit to be shown, unless DST has been written."""
    if args.src.resolve() == args.dst.resolve():
        raise WeightsError(f'{args.dst}: is the source itself. Fix: give another DST.')
    source = read_state_dict(args.src)
    is_deep_lab = any(name.startswith(('backbone.low_level_features.', 'classifier.')) for name in source)
    try:
        converted, report = (convert_deep_lab_v3_plus if is_deep_lab else convert_semseg)(source)
    except WeightsError as error:
        raise WeightsError(f'{args.src}: {error}') from error
    console.print(report.table())
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.report, report.to_json())
    if not report.ok:
        raise WeightsError(report.error(str(args.src)))
    if report.arch.startswith('custom') and not args.custom:
        raise WeightsError(
            f'{args.src}: {report.arch} was never published; whole blocks may be missing. '
            'Fix: fetch the file again, or give --custom if the sizes are meant.'
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
