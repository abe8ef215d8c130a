"""Turns the backbone of a COCO Mask R-CNN into weights of mmdet's ResNet.

    python tools/prepare/convert_maskrcnn.py maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth checkpoints/backbone.pth

torchvision's file: https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth; mmdet's checkpoints
are understood too. Names and depth (ResNet-18 to 152) are found out by themselves. The result is for
`init_cfg=dict(type='Pretrained', checkpoint=...)` of a backbone and, in a C4 model, of the shared head as well. Every
tensor is listed; the exit status is 1 when one that the ResNet needs is missing.
"""

import argparse
import sys
from pathlib import Path

from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.conversion_run import run_conversion
from mmext.common.weight_conversion import ConversionReport
from mmext.detection.converters.mask_rcnn import convert_mask_rcnn


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help='.pth or .safetensors of a Mask R-CNN')
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument('--custom', action='store_true', help='accept depths and widths that were never published')
    parser.add_argument('--report', metavar='F.json', type=Path, help='also write the report as JSON')
    add_trust_option(parser)
    return parser.parse_args(argv)


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

    return run_conversion(args.src, args.dst, convert_mask_rcnn, objection, args.report)


if __name__ == '__main__':
    sys.exit(main())
