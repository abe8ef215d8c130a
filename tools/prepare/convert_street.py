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
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.conversion_run import run_conversion
from mmext.common.weight_conversion import ConversionReport
from mmext.segmentation.converters.deep_lab_v3_plus import convert_deep_lab_v3_plus
from mmext.segmentation.converters.semseg import convert_semseg


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help='.pth, .bin or .safetensors')
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument('--custom', action='store_true', help='accept depths and widths that were never published')
    parser.add_argument('--report', metavar='F.json', type=Path, help='also write the report as JSON')
    add_trust_option(parser)
    return parser.parse_args(argv)


def convert(source: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ConversionReport]:
    """By the converter of the repository that the names belong to."""
    is_deep_lab = any(name.startswith(('backbone.low_level_features.', 'classifier.')) for name in source)
    return (convert_deep_lab_v3_plus if is_deep_lab else convert_semseg)(source)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)

    def objection(report: ConversionReport) -> str:
        if args.custom or not report.arch.startswith('custom'):
            return ''
        return (
            f'{report.arch} was never published; whole blocks may be missing. '
            'Fix: fetch the file again, or give --custom if the sizes are meant.'
        )

    return run_conversion(args.src, args.dst, convert, objection, args.report)


if __name__ == '__main__':
    sys.exit(main())
