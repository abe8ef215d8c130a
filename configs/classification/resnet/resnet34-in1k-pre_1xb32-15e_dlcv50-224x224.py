"""ResNet-34 on the 50 classes of the report dlcv, from ImageNet weights.

Published: validation accuracy 82.84, loss 0.57486. Not trained here. The report names no settings; those here are chosen.
Data: data/README.md, dlcv50. Weights: metafile.yml. One GPU.
Run: python tools/train.py configs/classification/resnet/resnet34-in1k-pre_1xb32-15e_dlcv50-224x224.py
"""

_base_ = [
    '../../_base_/datasets/dlcv50_224.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=50,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=34,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet34-b627a593.pth'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=50, in_channels=512, loss=dict(type='CrossEntropyLoss')),
)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(initialisation=dict(min_loaded={'backbone': 1.0}))
