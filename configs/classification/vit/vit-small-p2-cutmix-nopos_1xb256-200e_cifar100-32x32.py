"""ViT-small, 256 patches, CutMix, position embedding left out, on CIFAR-100.

Report street-voc-vit. Published: top-1 44.54, top-5 71.16. Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/vit/vit-small-p2-cutmix-nopos_1xb256-200e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(backbone=dict(patch_size=2, pos_embed=None), train_cfg=dict(augments=dict(type='PairwiseCutMix')))
