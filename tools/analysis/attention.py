"""Show what a vision transformer attends to: rollouts, gradient-weighted rollouts, heads, distances, positions.

Pictures are read through the config's own test pipeline. The attention weights are worked out beside the model, which
may run fused attention, and must give back what each layer computes: the differences are printed, and a layer that does
something else is refused. Inputs are files, folders, patterns or lists as of tools/predict.py. Without CKPT - a first
input that ends in .pth, .pt, .bin or .safetensors - the weights are random.

Examples:
    python tools/analysis/attention.py CONFIG CKPT photos --out attention
    python tools/analysis/attention.py CONFIG CKPT photos --out attention --kinds rollout grad --class 3
    python tools/analysis/attention.py CONFIG CKPT cat.jpg --out attention --kinds heads --query 6 7 --layers 0 -1
    python tools/analysis/attention.py CONFIG CKPT --out attention --kinds position
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmext.classification.attention.attention_model import AttentionModel
from mmext.classification.attention.attention_run import (
    KINDS,
    AttentionOutcome,
    AttentionSettings,
    describe,
    show_attention,
)
from mmext.classification.attention.rollout import HEADS
from mmext.common.checkpoints import add_trust_option, apply_trust
from mmext.common.prediction.inputs import check_outputs, find_images

WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s CONFIG [CKPT] INPUT ... --out DIR [options]',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='checkpoint, pictures, folders, patterns or lists')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=['rollout'], help='default: rollout')
    parser.add_argument('--head', choices=HEADS, default='mean', help='how a rollout fuses heads (default: mean)')
    parser.add_argument('--query', type=int, nargs=2, metavar=('ROW', 'COL'), help='patch of heads (default: middle)')
    parser.add_argument('--layers', type=int, nargs='+', default=[], metavar='N', help='layers of heads (default: all)')
    parser.add_argument('--log', action='store_true', help='heads: logarithms, that is q·k/√d up to a constant')
    parser.add_argument('--class', type=int, dest='target', metavar='N', help='class of grad (default: predicted)')
    parser.add_argument('--blocks', action='store_true', help='draw patches as blocks instead of a smooth map')
    parser.add_argument('--device', help='where the network runs (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='override settings')
    add_trust_option(parser)
    args = parser.parse_args(argv)
    given = args.inputs[0].lower().endswith(WEIGHTS)
    args.checkpoint, args.inputs = (args.inputs[0], args.inputs[1:]) if given else (None, args.inputs)
    if not args.inputs and set(args.kinds) != {'position'}:
        parser.error('only --kinds position works without a picture')
    return args


def run(args: argparse.Namespace) -> AttentionOutcome:
    paths = find_images(args.inputs)
    check_outputs(args.out, None, args.inputs, paths)
    model = AttentionModel(args.config, args.checkpoint, args.device, args.cfg_options)
    if args.checkpoint is None:
        print('note: no checkpoint, the weights are random; maps show how it works, not what a trained model sees')
    elif model.weights.missing:
        print(f'warning: {len(model.weights.missing)} tensors are not in {args.checkpoint}', file=sys.stderr)
    query = tuple(args.query) if args.query else None
    settings = AttentionSettings(
        tuple(args.kinds), args.head, query, tuple(args.layers), args.target, not args.blocks, args.log
    )
    return show_attention(
        model,
        paths,
        args.out,
        settings,
        {'config': args.config, 'checkpoint': args.checkpoint, 'classes': model.classes},
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    apply_trust(args)
    try:
        outcome = run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for line in describe(outcome):
        print(line)
    print(f'{args.out}: {len(outcome.images)} pictures, {len(outcome.files)} files')
    for entry in outcome.unreadable:
        print(f'error: {entry["image"]}: {entry["reason"]}', file=sys.stderr)
    return 1 if outcome.unreadable else 0


if __name__ == '__main__':
    raise SystemExit(main())
