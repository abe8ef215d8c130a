"""ViT-small, 64 patches, jitter, position embedding learned, on CIFAR-100.

Report street-voc-vit. Published: top-1 40.13, top-5 69.08. Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/vit/vit-small-p4-jitter_1xb256-200e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='NumpyToPIL'),
    dict(type='torchvision/ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5),
    dict(type='torchvision/RandomRotation', degrees=15),
    dict(type='PILToNumpy'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
