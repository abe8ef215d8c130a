"""Atrous pyramid (rates 1, 2, 3, 6) on ResNet-18 at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations.

arXiv:1606.00915. As the pyramid pooling recipe, another context.
Published (report context): mIoU 62.09, mAcc 71.08, allAcc 93.34. Not trained here.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/aspp_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = './ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'

model = dict(decode_head=dict(context=dict(type='AtrousPyramid')))
