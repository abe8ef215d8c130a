"""ResNet-18 of half width on CIFAR-100, CutMix.

Report street-voc-vit. Published: top-1 52.07, top-5 78.10. Not trained here.
The report says too little to be exact: assumed are half the width, a stem of 64 channels on all pixels and a first stage
on 8 x 8 cells. 2.833 M parameters, published 2.74 M.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/resnet/resnet18-half-cutmix_1xb256-200e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/resnet18_cifar100.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(
        _delete_=True, type='ResNet_CIFAR', depth=18, stem_channels=64, base_channels=32, strides=(4, 2, 2, 2)
    ),
    head=dict(in_channels=256),
    train_cfg=dict(augments=dict(type='PairwiseCutMix')),
)
