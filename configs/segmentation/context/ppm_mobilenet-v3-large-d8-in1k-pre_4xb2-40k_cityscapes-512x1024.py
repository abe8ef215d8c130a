"""Pyramid pooling on MobileNetV3-large at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations. arXiv:1905.02244

As the ResNet-18 recipe, on the 160 channels of the last bottleneck.
Published (report context): mIoU 56.82, 21.42 images/s, of a model that the report itself doubts.
Not trained here; latency on a CPU: README.md.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/ppm_mobilenet-v3-large-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = './ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='DilatedMobileNet',
        arch='v3-large',
        output_stride=8,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mobilenet_v3_large-8738ca79.pth'),
    ),
    decode_head=dict(in_channels=160, auxiliary=dict(in_channels=112)),
)
