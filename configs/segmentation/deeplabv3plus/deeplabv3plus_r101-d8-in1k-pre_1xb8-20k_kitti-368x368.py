"""DeepLabV3+ R101-D8 on KITTI-seg, encoder from ImageNet, 1 GPU x 8 images, 20k iterations. arXiv:1802.02611

As the R18 recipe, with a larger encoder and wider heads. Published: mIoU 0.6063 (arXiv:2206.12571), 455 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/deeplabv3plus/deeplabv3plus_r101-d8-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = './deeplabv3plus_r18-d8-in1k-pre_1xb8-20k_kitti-368x368.py'

model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet101_v1c-e67eebb6.pth')),
    decode_head=dict(in_channels=2048, channels=512, c1_in_channels=256, c1_channels=48),
    auxiliary_head=dict(in_channels=1024, channels=256),
)
