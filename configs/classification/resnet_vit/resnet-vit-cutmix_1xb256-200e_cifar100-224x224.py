"""Residual stages and a ViT on their 14 x 14 map, CIFAR-100 enlarged to 224 x 224, CutMix.

Report street-voc-vit. Published: top-1 63.17, top-5 86.23. Not trained here.
The report says too little to be exact: 6.351 M parameters, published 6.47 M; `ResNetViT` names what is assumed.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/resnet_vit/resnet-vit-cutmix_1xb256-200e_cifar100-224x224.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100_224.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(_delete_=True, type='ResNetViT'),
    train_cfg=dict(augments=dict(type='PairwiseCutMix')),
)
