"""ViT-large, 256 patches, CutMix, on CIFAR-100.

Report street-voc-vit. Published: top-1 53.47, top-5 78.48. Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/vit/vit-large-p2-cutmix_1xb256-200e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(patch_size=2, embed_dims=240, feedforward_channels=1464, num_heads=6),
    head=dict(in_channels=240),
    train_cfg=dict(augments=dict(type='PairwiseCutMix')),
)
