"""Time forward + backward of LovaszSoftmaxLoss beside mmseg's LovaszLoss, and the memory that both need.

Random logits stand for an untrained network, raised true-class logits for a trained one, whose errors are mostly small.
Both losses run in turn, so a busy machine slows both alike.
python tools/benchmarks/lovasz.py [--shape 2 19 256 256] [--repeats 21] [--device cuda] [--json FILE]
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmseg.evaluation import IoUMetric
from mmseg.models.losses import LovaszLoss
from torch import Tensor

from mmext.analysis.benchmark import forward_backward, median_ms, peak_bytes, print_times, same_loss
from mmext.common.files import write_json
from mmext.segmentation.models.losses.lovasz_softmax_loss import LovaszSoftmaxLoss, lovasz_softmax

UPSTREAM, OURS = 'mmseg LovaszLoss', 'LovaszSoftmaxLoss'


def make_batch(shape: list[int], confidence: float, device: str) -> tuple[Tensor, Tensor]:
    """Logits (B, C, H, W) with a gradient and labels (B, H, W), a tenth of them ignored."""
    torch.manual_seed(0)
    labels = torch.randint(shape[1], (shape[0], *shape[2:]))
    logits = torch.randn(shape).scatter_add_(1, labels[:, None], torch.full((shape[0], 1, *shape[2:]), confidence))
    labels[:, : shape[2] // 10] = 255
    return logits.to(device).requires_grad_(), labels.to(device)


def compare(losses: dict[str, Callable], logits: Tensor, labels: Tensor) -> dict[str, bool]:
    """Agreements by what is compared."""
    prediction = logits.detach().argmax(1)
    hard = torch.zeros_like(logits).scatter_(1, prediction.unsqueeze(1), 1e4)
    hits, union, _, labelled = IoUMetric.intersect_and_union(prediction, labels, logits.shape[1], 255)
    present = labelled > 0
    one_minus_iou = 1 - (hits / union)[present].mean().to(logits)
    return {
        # A gradient of mmseg is a difference of two nearly equal float32 numbers.
        'value and gradient = mmseg': same_loss(losses[OURS](), losses[UPSTREAM](), logits, rtol=1e-3),
        'hard predictions: mean of 1 - IoU': torch.allclose(lovasz_softmax(hard, labels), one_minus_iou, atol=1e-6),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shape', type=int, nargs=4, default=[2, 19, 256, 256], metavar=('B', 'C', 'H', 'W'))
    parser.add_argument('--repeats', type=int, default=21)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    report = {'shape': args.shape, 'device': args.device, 'threads': torch.get_num_threads(), 'cases': {}}
    upstream, ours = LovaszLoss(per_image=False, reduction='none'), LovaszSoftmaxLoss()
    for case, confidence in {'untrained': 0.0, 'trained': 6.0}.items():
        logits, labels = make_batch(args.shape, confidence, args.device)
        functions = {UPSTREAM: upstream, OURS: ours}
        losses = {name: partial(loss, logits, labels, ignore_index=255) for name, loss in functions.items()}
        agreements = compare(losses, logits, labels)
        steps = {name: partial(forward_backward, loss, logits) for name, loss in losses.items()}
        times = median_ms(steps, args.repeats, args.device)
        peaks = {name: peak_bytes(step, args.device)[0] / 1e6 for name, step in steps.items()}
        title = f'{case}: {args.shape} on {args.device}, {report["threads"]} threads'
        ratio = print_times(title, times, agreements, OURS, UPSTREAM)
        print(f'  peak memory: {", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items())}')
        report['cases'][case] = {'median_ms': times, 'peak_mb': peaks, 'agreements': agreements, 'ratio': ratio}
    if args.json:
        write_json(args.json, report)
    return 0 if all(all(case['agreements'].values()) for case in report['cases'].values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
