"""UNet16, encoder VGG16 from ImageNet, land cover, 1 GPU x 8 images, 15 epochs. arXiv:1505.04597, arXiv:1801.05746

Published: mIoU 0.634736 over six classes, loss 0.460651 (dlcv report). Not trained here. The schedule is that of
FCN32s; the report names none.
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/unet/unet16_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py
"""

_base_ = [
    '../../_base_/models/unet16_vgg16.py',
    '../../_base_/datasets/land_cover.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/segmentation_by_epoch.py',
]

model = dict(data_preprocessor=dict(size={{_base_.crop_hw}}))
