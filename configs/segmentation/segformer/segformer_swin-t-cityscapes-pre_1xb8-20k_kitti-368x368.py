"""Swin-T with SegFormer's head on KITTI-seg, all weights from Cityscapes, 1 GPU x 8 images, 20k iterations. arXiv:2103.14030

Encoder and decode head start from the Cityscapes recipe beside this one, the auxiliary head from noise. Published: mIoU 0.7628 (arXiv:2206.12571), 79.472 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/segformer/segformer_swin-t-cityscapes-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = './segformer_swin-t-in22k-pre_1xb8-20k_kitti-368x368.py'

model = dict(backbone=dict(init_cfg=None))

load_from = 'work_dirs/segformer_swin-t-in22k-pre_4xb2-160k_cityscapes-1024x1024/iter_160000.pth'
