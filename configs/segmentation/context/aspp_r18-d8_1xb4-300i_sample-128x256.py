"""Atrous pyramid (rates 1, 2, 3, 6) on a ResNet-18 at stride 8, from scratch on the embedded sample, 300 iterations.

As the pyramid pooling recipe on the sample, another context. arXiv:1606.00915
Published: nothing. Trained here: mIoU 33.68 (one seed, two CPU cores).
Data: data/samples/kitti_seg, 24 train / 8 val rendered frames.
Run: python tools/train.py configs/segmentation/context/aspp_r18-d8_1xb4-300i_sample-128x256.py
"""

_base_ = './ppm_r18-d8_1xb4-300i_sample-128x256.py'

model = dict(decode_head=dict(context=dict(type='AtrousPyramid')))
