"""Peak memory of test-time augmentation with 12 views beside 2 views: StreamingTTA and mmseg's SegTTAModel.

The two views are the largest of the twelve, so that one view needs the same in both. `light` is a network whose own
memory hardly matters, the other one that of a config, with random weights. The images of all views, which the data
loader makes, are not counted but named. On a GPU its allocator is asked, on the CPU the profiler: a process may grow
further because malloc keeps freed memory (except with MALLOC_MMAP_THRESHOLD_=1000000 in the environment).
python tools/benchmarks/tta_memory.py [--config CONFIG] [--size 375 1242] [--device cuda] [--json FILE]
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import SegTTAModel

from mmext.analysis.benchmark import peak_bytes, print_agreements, print_peaks
from mmext.analysis.model_from_config import build_model, load_config
from mmext.common.files import write_json
from mmext.segmentation.tta import StreamingTTA

CONFIG = 'configs/segmentation/segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py'
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
LIGHT = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3, size=(32, 32)),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=0, channels=64, num_convs=1, num_classes=19),
    test_cfg=dict(mode='whole'),
)
OURS, HALF, UPSTREAM = 'StreamingTTA', 'StreamingTTA fp16', 'mmseg SegTTAModel'
KINDS = {OURS: {}, HALF: {'accumulate': 'fp16'}, UPSTREAM: None}


def make_views(height: int, width: int, ratios: tuple[float, ...]) -> dict:
    """A batch of one random image, in each scale also mirrored; sides that 32 divides."""
    sizes = [tuple(32 * max(round(side * ratio / 32), 1) for side in (width, height)) for ratio in ratios]
    resizes = [dict(type='Resize', scale=size, keep_ratio=False) for size in sizes]
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    with DefaultScope.overwrite_default_scope('mmseg'):
        views = Compose([dict(type='TestTimeAug', transforms=[resizes, flips, [dict(type='PackSegInputs')]])])
    image = torch.randint(256, (height, width, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    shape = (height, width)
    return pseudo_collate([views(dict(img=image.numpy(), img_shape=shape, ori_shape=shape, img_path='random'))])


@torch.no_grad()
def measure(network: torch.nn.Module, size: list[int], device: str) -> tuple[dict[str, list[float]], dict[str, bool]]:
    """Peaks in MB with 2 and with 12 views by model, and agreements of the merged predictions by what is compared."""
    peaks, merged = {}, {}
    for name, options in KINDS.items():
        model = (SegTTAModel(network) if options is None else StreamingTTA(network, **options)).to(device)
        peaks[name] = []
        for ratios in (RATIOS[-1:], RATIOS):
            peak, (merged[name],) = peak_bytes(partial(model.test_step, make_views(*size, ratios)), device)
            peaks[name].append(peak / 1e6)
    same = (merged[OURS].pred_sem_seg.data == merged[UPSTREAM].pred_sem_seg.data).double().mean()
    error = (merged[OURS].seg_logits.data - merged[HALF].seg_logits.data.float()).abs().max()
    return peaks, {
        'labels = mmseg (99.99 %)': bool(same > 0.9999),
        'mean with fp16 = fp32 to 0.001': bool(error < 1e-3),
        '12 views need what 2 need (5 %)': all(peaks[name][1] < 1.05 * peaks[name][0] for name in (OURS, HALF)),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=CONFIG)
    parser.add_argument('--size', type=int, nargs=2, default=[375, 1242], metavar=('H', 'W'))
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='write the figures here')
    args = parser.parse_args(argv)
    pixels = sum(view[0].numel() // 3 for view in make_views(*args.size, RATIOS)['inputs'])
    print(f'images of 12 views, {pixels / 1e6:.1f} million pixels: {3 * pixels / 1e6:.0f} MB')
    report = {'size': args.size, 'device': args.device, 'networks': {}}
    for config in (Config(dict(model=LIGHT, default_scope='mmseg')), load_config(args.config)):
        label = Path(config.filename).stem if config.filename else 'light'
        peaks, agreements = measure(build_model(config).to(args.device), args.size, args.device)
        print_peaks(f'{label}: {args.size} on {args.device}', peaks, ['2 views', '12 views'])
        print_agreements(agreements)
        report['networks'][label] = {'peak_mb': peaks, 'agreements': agreements}
    if args.json:
        write_json(args.json, report)
    return 0 if all(all(network['agreements'].values()) for network in report['networks'].values()) else 1


if __name__ == '__main__':
    raise SystemExit(main())
