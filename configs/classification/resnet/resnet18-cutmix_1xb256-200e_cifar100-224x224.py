"""ResNet-18 on CIFAR-100 enlarged to 224 x 224, CutMix.

Report street-voc-vit. Published: top-1 72.63, top-5 91.57. Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/resnet/resnet18-cutmix_1xb256-200e_cifar100-224x224.py
"""

_base_ = [
    '../../_base_/models/resnet18_cifar100.py',
    '../../_base_/datasets/cifar100_224.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(train_cfg=dict(augments=dict(type='PairwiseCutMix')))
