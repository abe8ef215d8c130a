"""Swin-T with SegFormer's head on Cityscapes, encoder from ImageNet-22k, 4 GPUs x 2 images, 160k iterations. arXiv:2103.14030

Makes the initial weights of the KITTI recipe segformer_swin-t-cityscapes-pre. Published: 8 hours on 4 RTX A5000
(arXiv:2206.12571), no score, no weights. Not trained here. Data: configs/_base_/datasets/cityscapes.py. Weights: metafile.yml.
Run: bash tools/dist_train.sh configs/segmentation/segformer/segformer_swin-t-in22k-pre_4xb2-160k_cityscapes-1024x1024.py 4
On one GPU: python tools/train.py configs/segmentation/segformer/segformer_swin-t-in22k-pre_4xb2-160k_cityscapes-1024x1024.py
"""

_base_ = [
    '../../_base_/models/segformer_swin-t.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/cityscapes_40k.py',
    '../../_base_/runtime/segmentation.py',
]

crop_hw = (1024, 1024)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_hw, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

model = dict(
    data_preprocessor=dict(size=crop_hw),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/swin_tiny_patch4_window7_224_22k_mmseg.pth')
    ),
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0), norm=dict(decay_mult=0.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=160_000),
]
train_cfg = dict(max_iters=160_000, val_interval=16_000)
default_hooks = dict(checkpoint=dict(interval=16_000))
