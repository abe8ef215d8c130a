"""A street scene model, trained from scratch on the embedded sample in a few minutes on two CPU cores.

ResNet-18 of half width with SegFormer's head, half resolution, class-balanced OHEM. Three to four minutes on two cores; 51.4 % mIoU.
Data: data/samples/kitti_seg, 24 train / 8 val rendered frames; weights counted by tools/analysis/class_weights.py.
Run: python tools/train.py configs/quickstart.py
"""

_base_ = ['./_base_/runtime/segmentation.py']

max_iters = 500
crop_hw = (176, 320)
data_root = 'data/samples/kitti_seg'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(621, 188), ratio_range=(0.95, 1.6), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_hw, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(768, 224), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='KITTISegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='training/image_2', seg_map_path='training/semantic'),
    label_encoding='label_ids',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='val.txt', pipeline=test_pipeline, **dataset),
)
test_dataloader = val_dataloader
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(640, 192), keep_ratio=False),
                dict(type='Resize', scale=(768, 224), keep_ratio=False),
                dict(type='Resize', scale=(960, 288), keep_ratio=False),
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator


norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_hw,
    ),
    backbone=dict(
        type='ResNetV1c', depth=18, base_channels=32, stem_channels=32, norm_cfg=norm_cfg, out_indices=(0, 1, 2, 3)
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[32, 64, 128, 256],
        in_index=[0, 1, 2, 3],
        channels=96,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='OhemBalancedLoss',
            class_weight='data/samples/kitti_seg_class_weights.json',
            thresh=0.7,
            min_kept=0.1,
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=40, end=max_iters),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=250)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=4)

randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250), visualization=dict(max_images=8))
