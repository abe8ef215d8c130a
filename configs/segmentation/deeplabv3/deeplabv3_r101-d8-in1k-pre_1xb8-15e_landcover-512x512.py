"""DeepLabV3 on ResNet-101-D8 from ImageNet, land cover, 1 GPU x 8 images, 15 epochs. arXiv:1706.05587

Published: mIoU 0.728019 over six classes, loss 0.346967 (dlcv report). Not trained here. The schedule is that of
FCN32s; the report names none. Widths and rates are torchvision's, with mmseg's auxiliary head.
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/deeplabv3/deeplabv3_r101-d8-in1k-pre_1xb8-15e_landcover-512x512.py
"""

_base_ = [
    '../../_base_/models/deeplabv3_r101-d8.py',
    '../../_base_/datasets/land_cover.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/segmentation_by_epoch.py',
]

model = dict(data_preprocessor=dict(size={{_base_.crop_hw}}))
