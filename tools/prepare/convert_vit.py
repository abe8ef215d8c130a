"""Turns Vision Transformers of timm, Hugging Face, torchvision or the authors (npz) into weights of mmpretrain's.

    python tools/prepare/convert_vit.py model.safetensors checkpoints/vit_b16.pth --num-classes 2
    python tools/prepare/convert_vit.py B_16.npz checkpoints/vit_b16_384.pth --img-size 384 --drop-head

Names and sizes are found out by themselves; the config that the result fits is printed. `backbone.*` and
`head.layers.*` are for `load_from` or `init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')`; with
--backbone-only the names are bare and `prefix` is left out. Every tensor is listed; the exit status is 1 when one that
the network needs is missing.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmext.classification.converters.npz import read_weights
from mmext.classification.converters.vit import convert_vit
from mmext.common.arguments import at_least
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.conversion_run import run_conversion
from mmext.common.weight_conversion import ConversionReport


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('src', metavar='SRC', type=Path, help='.pth, .bin, .safetensors or .npz')
    parser.add_argument('dst', metavar='DST', type=Path, help='.pth for mmengine, or .safetensors')
    parser.add_argument(
        '--img-size', metavar='PX', type=at_least(1), help='resize the position embeddings for this side'
    )
    parser.add_argument(
        '--num-classes', metavar='N', type=at_least(1), help='leave the classifier out if it has other classes'
    )
    parser.add_argument('--drop-head', action='store_true', help='leave the classifier out')
    parser.add_argument('--backbone-only', action='store_true', help='leave it out, and write bare names')
    parser.add_argument(
        '--num-heads', metavar='N', type=at_least(1), help='heads of the attention (default: as published)'
    )
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

    convert = partial(
        convert_vit,
        img_size=args.img_size,
        num_classes=args.num_classes,
        drop_head=args.drop_head,
        backbone_only=args.backbone_only,
        num_heads=args.num_heads,
    )
    return run_conversion(args.src, args.dst, convert, objection, args.report, read=read_weights)


if __name__ == '__main__':
    sys.exit(main())
