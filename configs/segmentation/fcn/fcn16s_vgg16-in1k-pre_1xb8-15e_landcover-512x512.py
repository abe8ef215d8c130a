"""FCN16s on VGG16 from ImageNet, land cover, 1 GPU x 8 images, 15 epochs. arXiv:1411.4038

As FCN32s but for its head. One skip, from the fourth pool.
Published: mIoU 0.686301, loss 0.345898 (dlcv report, six classes). Not trained here.
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/fcn/fcn16s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py
"""

_base_ = './fcn32s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py'

model = dict(decode_head=dict(stride=16))
