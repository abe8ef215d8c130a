"""SegFormer MiT-B5 on KITTI-seg, all weights from Cityscapes, 1 GPU x 8 images, 20k iterations. arXiv:2105.15203

Encoder and decode head start from a Cityscapes model, the auxiliary head from noise.
Published: mIoU 0.8018 (arXiv:2206.12571), 150 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/segformer/segformer_mit-b5-cityscapes-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = './segformer_mit-b5-in1k-pre_1xb8-20k_kitti-368x368.py'

model = dict(backbone=dict(init_cfg=None))

load_from = 'checkpoints/segformer_mit-b5_8x1_1024x1024_160k_cityscapes_20211206_072934-87a052ec.pth'
