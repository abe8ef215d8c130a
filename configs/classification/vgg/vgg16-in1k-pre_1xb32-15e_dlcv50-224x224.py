"""VGG16 on the 50 classes of the report dlcv, from ImageNet weights.

Published: validation accuracy 79.76, loss 0.67792. Not trained here. The report names no settings; those here are chosen.
Data: data/README.md, dlcv50. Weights: metafile.yml. One GPU.
Run: python tools/train.py configs/classification/vgg/vgg16-in1k-pre_1xb32-15e_dlcv50-224x224.py
"""

_base_ = [
    '../../_base_/models/resnet18_dlcv50.py',
    '../../_base_/datasets/dlcv50_224.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='VGG',
        depth=16,
        num_classes=50,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/vgg16-mmpretrain.pth'),
    ),
    neck=None,
    head=dict(_delete_=True, type='ClsHead', loss=dict(type='CrossEntropyLoss')),
)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(initialisation=dict(min_loaded={'backbone.features': 1.0}))
