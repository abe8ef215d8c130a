"""Pyramid pooling on ResNet-101 at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations. arXiv:1612.01105

As the ResNet-18 recipe, with 2048 features and wider heads.
Published (report context): mIoU 71.07, 5.45 images/s.
Not trained here.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/ppm_r101-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = './ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'

model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet101-63fe2227.pth')),
    decode_head=dict(in_channels=2048, channels=512, auxiliary=dict(in_channels=1024, channels=256)),
)
