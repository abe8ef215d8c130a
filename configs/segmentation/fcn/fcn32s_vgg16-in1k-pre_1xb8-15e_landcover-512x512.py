"""FCN32s on VGG16 from ImageNet, land cover, 1 GPU x 8 images, 15 epochs. arXiv:1411.4038

The baseline of the dlcv report. Published: mIoU 0.685135 over six classes, loss 0.370613. Not trained here.
The report gives the architecture and the 15 epochs; optimiser, batch and augmentation are chosen here (README.md).
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/fcn/fcn32s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py
"""

_base_ = [
    '../../_base_/models/fcn_vgg16.py',
    '../../_base_/datasets/land_cover.py',
    '../../_base_/schedules/adam_15e.py',
    '../../_base_/runtime/segmentation_by_epoch.py',
]

model = dict(data_preprocessor=dict(size={{_base_.crop_hw}}))

# Stages of the report: one figure of the first three validation tiles after epochs 1, 6 and 15.
custom_hooks = [
    dict(type='ValLossHook'),
    dict(type='StagePictureHook', stages=dict(early=1, middle=6, final=15)),
    dict(type='RunSummaryHook'),
]
