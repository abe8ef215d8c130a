"""PSPNet R101-D8 on KITTI-seg, encoder from ImageNet, 1 GPU x 8 images, 20k iterations. arXiv:1612.01105

As the R18 recipe, with a larger encoder and wider heads; the teacher of ../cwd. Published: mIoU 0.6370 (arXiv:2206.12571), 459 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/pspnet/pspnet_r101-d8-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = './pspnet_r18-d8-in1k-pre_1xb8-20k_kitti-368x368.py'

model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet101_v1c-e67eebb6.pth')),
    decode_head=dict(in_channels=2048, channels=512),
    auxiliary_head=dict(in_channels=1024, channels=256),
)
