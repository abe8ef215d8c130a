"""ViT-small, 64 patches, baseline, position embedding learned, on CIFAR-100.

Report street-voc-vit. Published: top-1 43.78, top-5 71.77. Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/vit/vit-small-p4_1xb256-200e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]
