"""Time forward + backward of OhemBalancedLoss beside mmseg's OHEMPixelSampler + CrossEntropyLoss and plain torch.

Random logits stand for an untrained network (most pixels are below the threshold), raised true-class logits for a
trained one (few are, so that the hardest must be found). All losses run in turn, so a busy machine slows all alike.
python tools/benchmarks/losses.py [--shape 4 19 368 368] [--repeats 11] [--device cuda] [--json FILE]
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures.sampler import OHEMPixelSampler
from torch import Tensor

from mmext.analysis.benchmark import forward_backward, median_ms, print_times, same_loss
from mmext.common.files import write_json
from mmext.segmentation.models.losses.class_balanced_loss import ClassBalancedLoss
from mmext.segmentation.models.losses.ohem_balanced_loss import (
    OhemBalancedLoss,
    mined_cross_entropy,
    ohem_cross_entropy,
)

UPSTREAM, OURS = 'mmseg OHEMPixelSampler + CrossEntropyLoss', 'OhemBalancedLoss'


def make_case(shape: list[int], confidence: float, device: str) -> tuple[dict[str, Callable], dict[str, bool], Tensor]:
    """Losses by name, agreements by name, and the logits (B, C, H, W) that both speak of."""
    torch.manual_seed(0)
    labels = torch.randint(shape[1], (shape[0], *shape[2:]))
    logits = torch.randn(shape).scatter_add_(1, labels[:, None], torch.full((shape[0], 1, *shape[2:]), confidence))
    labels[:, : shape[2] // 10] = 255
    logits, labels = logits.to(device).requires_grad_(), labels.to(device)
    weight, per_image = torch.rand(shape[1], device=device) + 0.5, max(labels[0].numel() // 50, 2)
    sampler = OHEMPixelSampler(SimpleNamespace(ignore_index=255), thresh=0.5, min_kept=per_image)
    upstream_ce, mining = CrossEntropyLoss(), {'thresh': 0.5, 'min_kept': per_image * shape[0]}
    ohem, balanced = OhemBalancedLoss(weight.tolist(), **mining), ClassBalancedLoss(weight.tolist())
    ohem, balanced = ohem.to(device), balanced.to(device)
    valid_share = (labels != 255).float().mean()
    losses = {
        UPSTREAM: lambda: upstream_ce(logits, labels, weight=sampler.sample(logits, labels[:, None]), ignore_index=255),
        OURS: lambda: ohem(logits, labels),
        'ClassBalancedLoss': lambda: balanced(logits, labels),
        'F.cross_entropy': lambda: F.cross_entropy(logits, labels, weight, ignore_index=255),
    }
    plain, (mined, kept_share) = losses['F.cross_entropy'](), mined_cross_entropy(logits, labels, **mining)
    upstream_mean = losses[UPSTREAM]() / (kept_share * valid_share)
    agreements = {
        'OHEM = mmseg / kept share of all pixels': same_loss(mined, upstream_mean, logits),
        'nothing mined = F.cross_entropy': same_loss(ohem_cross_entropy(logits, labels, weight, 2.0), plain, logits),
        'ClassBalancedLoss = F.cross_entropy': same_loss(losses['ClassBalancedLoss'](), plain, logits),
    }
    return losses, agreements, logits


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shape', type=int, nargs=4, default=[4, 19, 368, 368], metavar=('B', 'C', 'H', 'W'))
    parser.add_argument('--repeats', type=int, default=11)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    report = {'shape': args.shape, 'device': args.device, 'threads': torch.get_num_threads(), 'cases': {}}
    for case, confidence in {'untrained': 0.0, 'trained': 6.0}.items():
        losses, agreements, logits = make_case(args.shape, confidence, args.device)
        steps = {name: partial(forward_backward, loss, logits) for name, loss in losses.items()}
        times = median_ms(steps, args.repeats, args.device)
        ratio = print_times(f'{case}: {args.shape} on {args.device}', times, agreements, OURS, UPSTREAM)
        report['cases'][case] = {'median_ms': times, 'agreements': agreements, 'ratio': ratio}
    if args.json:
        write_json(args.json, report)
    return 0 if all(all(case['agreements'].values()) for case in report['cases'].values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
