"""BasicNet, the baseline of the kitti report, on KITTI-seg from scratch, 1 GPU x 4 images, 180 epochs.

Published: mIoU 0.2760 (arXiv:2206.12571), 67.003 GMACs at 375 x 1242, 15.28 M parameters. Not trained here.
The loss is the mean over labelled pixels; the report's divides by all pixels, ignored ones included.
Data: tools/prepare/kitti.py. Run: python tools/train.py configs/segmentation/basicnet/basicnet_1xb4-180e_kitti-256x864.py
"""

_base_ = [
    '../../_base_/models/basicnet.py',
    '../../_base_/datasets/kitti_seg.py',
    '../../_base_/schedules/adam_180e.py',
    '../../_base_/runtime/segmentation.py',
]

crop_hw = (256, 864)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(1242, 375), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_hw, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(864, 256), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

default_hooks = dict(checkpoint=dict(by_epoch=True, interval=20), logger=dict(log_metric_by_epoch=True))
log_processor = dict(by_epoch=True)
