"""Pyramid pooling on MobileNetV2 at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations. arXiv:1801.04381

As the ResNet-18 recipe, on the 320 channels of the last bottleneck.
Published (report context): mIoU 59.25, 22 ms on a 2080 Ti, 25.17 images/s.
Not trained here; latency on a CPU: README.md.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/ppm_mobilenet-v2-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = './ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='DilatedMobileNet',
        arch='v2',
        output_stride=8,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mobilenet_v2-b0353104.pth'),
    ),
    decode_head=dict(in_channels=320, auxiliary=dict(in_channels=96)),
)
