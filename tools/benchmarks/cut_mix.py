"""Time PairwiseCutMix beside a plain loop over the images and beside mmpretrain's CutMix, which draws one box a batch.

The loop gets the boxes and partners ready-made, so it is timed without what a loop would still have to draw; its result
must be ours. Given one box for all, ours must be mmpretrain's. On a busy machine the threads of one operator wait for
each other, which costs more than the operator: set OMP_NUM_THREADS=1 there.
python tools/benchmarks/cut_mix.py [--shape 256 3 32 32] [--classes 100] [--repeats 21] [--device cuda] [--json FILE]
"""

import argparse
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from mmpretrain.models.utils.batch_augments import CutMix
from torch import Tensor

from mmext.analysis.benchmark import median_ms, print_times
from mmext.classification.batch_augments.pairwise_cut_mix import PairwiseCutMix, centred_boxes, cut_mix
from mmext.common.files import write_json

LOOP, UPSTREAM, OURS = 'loop over images', 'mmpretrain CutMix (one box a batch)', 'PairwiseCutMix'
OURS_ONE_BOX = 'PairwiseCutMix, one box a batch'


def loop(inputs: Tensor, scores: Tensor, partners: list[int], boxes: list[list[int]]) -> tuple[Tensor, Tensor]:
    """CutMix of one image after the other."""
    mixed, mixed_scores, pixels = inputs.clone(), scores.clone(), inputs[0, 0].numel()
    for index, (partner, (y1, x1, y2, x2)) in enumerate(zip(partners, boxes, strict=True)):
        mixed[index, :, y1:y2, x1:x2] = inputs[partner, :, y1:y2, x1:x2]
        pasted = torch.tensor((y2 - y1) * (x2 - x1) / pixels)
        mixed_scores[index] = scores[index] * (1 - pasted) + scores[partner] * pasted
    return mixed, mixed_scores


def upstream_with(inputs: Tensor, scores: Tensor, partners: Tensor, box: list[int]) -> tuple[Tensor, Tensor]:
    """mmpretrain's CutMix with a box and partners that are given."""
    (y1, x1, y2, x2), augment = box, CutMix(alpha=1.0)
    drawn = (y1, y2, x1, x2), 1 - (y2 - y1) * (x2 - x1) / inputs[0, 0].numel()
    with (
        mock.patch.object(augment, 'cutmix_bbox_and_lam', return_value=drawn),
        mock.patch('torch.randperm', return_value=partners),
    ):
        return augment(inputs.clone(), scores)


def equal(pair: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    """Equal images, and equal scores but for the last bit: mmpretrain divides in double precision."""
    return torch.equal(pair[0], other[0]) and torch.allclose(pair[1], other[1], atol=1e-7)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shape', type=int, nargs=4, default=[256, 3, 32, 32], metavar=('B', 'C', 'H', 'W'))
    parser.add_argument('--classes', type=int, default=100)
    parser.add_argument('--repeats', type=int, default=21)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    count, size_hw = args.shape[0], tuple(args.shape[2:])
    inputs = torch.randn(args.shape, device=args.device)
    scores = F.one_hot(torch.randint(args.classes, (count,)), args.classes).float().to(args.device)
    partners = torch.randperm(count, device=args.device)
    boxes, one_box = (
        centred_boxes(torch.rand(draws, device=args.device), torch.rand(draws, 2, device=args.device), size_hw)
        for draws in (count, 1)
    )
    drawn = partners.tolist(), boxes.tolist()
    ours, ours_one_box, upstream = PairwiseCutMix(), PairwiseCutMix(per='batch'), CutMix(alpha=1.0)
    pasted_into = inputs.clone()  # upstream writes into its input
    functions = {
        LOOP: lambda: loop(inputs, scores, *drawn),
        UPSTREAM: lambda: upstream(pasted_into, scores),
        OURS: lambda: ours(inputs, scores),
        OURS_ONE_BOX: lambda: ours_one_box(inputs, scores),
    }
    times = median_ms(functions, args.repeats, args.device)
    agreements = {
        'images and labels = loop': equal(cut_mix(inputs, scores, partners, boxes), loop(inputs, scores, *drawn)),
        'one box: images and labels = mmpretrain': equal(
            cut_mix(inputs, scores, partners, one_box), upstream_with(inputs, scores, partners, one_box[0].tolist())
        ),
    }
    title = f'{args.shape}, {args.classes} classes, on {args.device}, {torch.get_num_threads()} threads'
    ratios = {LOOP: print_times(title, times, agreements, OURS, LOOP), UPSTREAM: times[UPSTREAM] / times[OURS]}
    print(f'  ratio: {OURS} is {ratios[UPSTREAM]:.2f} times as fast as {UPSTREAM}')
    if args.json:
        figures = {'threads': torch.get_num_threads(), 'median_ms': times, 'ratios': ratios, 'agreements': agreements}
        write_json(args.json, {'shape': args.shape, 'classes': args.classes, 'device': args.device} | figures)
    return 0 if all(agreements.values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
