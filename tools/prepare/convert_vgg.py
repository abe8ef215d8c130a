"""Turns torchvision's VGG weights into those of mmpretrain's VGG.

    python tools/prepare/convert_vgg.py vgg16-397923af.pth checkpoints/vgg16-mmpretrain.pth

torchvision's file: https://download.pytorch.org/models/vgg16-397923af.pth. Every tensor is listed; the exit status is 1
when one is missing.
"""

import argparse
import sys
from pathlib import Path

from mmext.classification.converters.vgg import convert_vgg
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.conversion_run import run_conversion


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help="torchvision's .pth of VGG11, 13, 16 or 19")
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument('--report', metavar='F.json', type=Path, help='also write the report as JSON')
    add_trust_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    return run_conversion(args.src, args.dst, convert_vgg, lambda report: '', args.report)


if __name__ == '__main__':
    sys.exit(main())
