"""Pyramid pooling on ResNet-18 at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations. arXiv:1612.01105

Auxiliary classifier on layer3. Published (report context): mIoU 62.89, mAcc 71.05, allAcc 93.36, 34 ms on a 2080 Ti.
Not trained here. The schedule is the customary one, the report gives none.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = [
    '../../_base_/models/context_r18-d8.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/cityscapes_40k.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet18-f37072fd.pth')),
)

default_hooks = dict(checkpoint=dict(interval=4000))
