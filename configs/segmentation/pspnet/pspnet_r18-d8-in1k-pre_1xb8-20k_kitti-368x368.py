"""PSPNet R18-D8 on KITTI-seg, encoder from ImageNet, 1 GPU x 8 images, 20k iterations. arXiv:1612.01105

The tricks of the kitti report (class-balanced OHEM, multi-scale training, balanced auxiliary loss), its optimiser for
convolutional networks, --tta at six scales with flips. Published: mIoU 0.5933 (arXiv:2206.12571), 97.213 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/pspnet/pspnet_r18-d8-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = [
    '../../_base_/models/pspnet_r50-d8.py',
    '../../_base_/datasets/kitti_seg.py',
    '../../_base_/schedules/kitti_sgd_20k.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    backbone=dict(depth=18, init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet18_v1c-b5776b93.pth')),
    decode_head=dict(
        in_channels=512,
        channels=128,
        loss_decode=dict(
            type='OhemBalancedLoss', class_weight={{_base_.kitti_class_weight}}, thresh=0.5, min_kept=8 * 10_000
        ),
    ),
    auxiliary_head=dict(in_channels=256, channels=64, loss_decode=dict(class_weight={{_base_.kitti_class_weight}})),
)
