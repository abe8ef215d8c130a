"""SegFormer MiT-B2 on KITTI-seg, encoder from ImageNet, 1 GPU x 8 images, 20k iterations. arXiv:2105.15203

As the B0 recipe, with a larger encoder. Published: mIoU 0.6141 (arXiv:2206.12571), 50.633 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/segformer/segformer_mit-b2-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = './segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py'

model = dict(
    backbone=dict(
        embed_dims=64, num_layers=[3, 4, 6, 3], init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mit_b2.pth')
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
