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

from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.conversion_run import run_conversion
from mmext.common.weight_conversion import ConversionReport
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
    add_trust_option(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)

    def objection(report: ConversionReport) -> str:
        if args.arch != 'auto' or report.arch in ARCHS:
            return ''
        return (
            f'{report.arch} is none of the published {", ".join(ARCHS)}; whole blocks may be missing. '
            'Fix: fetch the file again, or give --arch custom if the sizes are meant.'
        )

    arch = args.arch if args.arch in ARCHS else None
    return run_conversion(args.src, args.dst, lambda source: convert_mit(source, arch), objection, args.report)


if __name__ == '__main__':
    sys.exit(main())
