"""Time SegmentationMetric's count of one image beside mmseg's IoUMetric.intersect_and_union.

A street-like truth of blocks with a strip of ignored pixels, a prediction that is right at 85 % of the pixels. Both run
in turn, so a busy machine slows both alike. One thread by default: with more, on cores that other programs use too,
both mostly wait for their threads, which says nothing about the counting.
python tools/benchmarks/metric.py [--size 375 1242] [--classes 19] [--repeats 51] [--threads 2] [--device cuda]
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from mmseg.evaluation import IoUMetric
from torch import Tensor

from mmext.analysis.benchmark import median_ms, print_times
from mmext.common.confusion_scores import class_counts, class_scores
from mmext.common.files import write_json
from mmext.segmentation.evaluation.confusion import count_confusion

UPSTREAM, OURS = 'mmseg IoUMetric.intersect_and_union', 'SegmentationMetric: count_confusion'


def make_maps(height: int, width: int, num_classes: int, device: str) -> tuple[Tensor, Tensor]:
    """Prediction and truth, (height, width) int64 as segmentors and loaders give them."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(num_classes, (1, 1, 24, 78), generator=generator).float()
    truth = F.interpolate(blocks, size=(height, width))[0, 0].long()
    wrong = torch.rand(height, width, generator=generator) < 0.15
    prediction = torch.where(wrong, torch.randint(num_classes, truth.shape, generator=generator), truth)
    truth[: height // 10] = 255
    return prediction.to(device), truth.to(device)


def agreements(prediction: Tensor, truth: Tensor, num_classes: int) -> dict[str, bool]:
    """Whether areas and IoU are those of mmseg, by what is compared."""
    counts = class_counts(count_confusion(prediction, truth, num_classes).cpu().numpy())
    hits, union, predicted, labelled = (
        area.double() for area in IoUMetric.intersect_and_union(prediction, truth, num_classes, 255)
    )
    areas = [
        torch.tensor(ours).equal(theirs.long())
        for ours, theirs in zip(counts, (hits, labelled, predicted), strict=True)
    ]
    iou = torch.from_numpy(class_scores(counts, ['IoU'])['IoU'])
    return {
        'areas = mmseg': all(areas),
        'IoU = mmseg to 1e-9': torch.allclose(iou, hits / union, rtol=0, atol=1e-9, equal_nan=True),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=[375, 1242], metavar=('H', 'W'))
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--repeats', type=int, default=51)
    parser.add_argument('--threads', type=int, default=1, help='of torch on the CPU (default: 1)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    prediction, truth = make_maps(*args.size, args.classes, args.device)
    functions = {
        UPSTREAM: lambda: IoUMetric.intersect_and_union(prediction, truth, args.classes, 255),
        OURS: lambda: count_confusion(prediction, truth, args.classes).cpu(),
    }
    threads_before = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    try:
        times = median_ms(functions, args.repeats, args.device)
    finally:
        torch.set_num_threads(threads_before)
    agree = agreements(prediction, truth, args.classes)
    title = f'{args.size}, {args.classes} classes, {args.device}, {args.threads} threads'
    ratio = print_times(title, times, agree, OURS, UPSTREAM)
    if args.json:
        report = {'size': args.size, 'classes': args.classes, 'device': args.device}
        report |= {'threads': args.threads, 'median_ms': times, 'agreements': agree, 'ratio': ratio}
        write_json(args.json, report)
    return 0 if all(agree.values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
