"""FCN8s on VGG16 from ImageNet, land cover, 1 GPU x 8 images, 15 epochs. arXiv:1411.4038

As FCN32s but for its head. The improved model of the dlcv report: skips from the third and the fourth pool.
Published: mIoU 0.697265, loss 0.340346 (dlcv report, six classes). Not trained here.
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/fcn/fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py
"""

_base_ = './fcn32s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py'

model = dict(decode_head=dict(stride=8))
