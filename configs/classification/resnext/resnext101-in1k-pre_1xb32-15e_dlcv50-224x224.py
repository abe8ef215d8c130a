"""ResNeXt-101 (32 x 8d) on the 50 classes of the report dlcv, from ImageNet weights.

Published: validation accuracy 89.01, loss 0.398426. Not trained here. The report names no settings; those here are chosen.
Data: data/README.md, dlcv50. Weights: metafile.yml. One GPU.
Run: python tools/train.py configs/classification/resnext/resnext101-in1k-pre_1xb32-15e_dlcv50-224x224.py
"""

_base_ = [
    '../../_base_/models/resnet18_dlcv50.py',
    '../../_base_/datasets/dlcv50_224.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        width_per_group=8,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnext101_32x8d-8ba56ff5.pth'),
    ),
    head=dict(in_channels=2048),
)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(initialisation=dict(min_loaded={'backbone': 1.0}))
