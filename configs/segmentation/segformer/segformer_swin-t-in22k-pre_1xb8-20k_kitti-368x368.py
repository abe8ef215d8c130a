"""Swin-T with SegFormer's head on KITTI-seg, encoder from ImageNet-22k, 1 GPU x 8 images, 20k iterations. arXiv:2103.14030

As the MiT recipes, with another encoder; the auxiliary head sees its third stage. Published: mIoU 0.5945 (arXiv:2206.12571), 79.472 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/segformer/segformer_swin-t-in22k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = [
    '../../_base_/models/segformer_swin-t.py',
    '../../_base_/datasets/kitti_seg.py',
    '../../_base_/schedules/kitti_20k.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/swin_tiny_patch4_window7_224_22k_mmseg.pth')
    ),
    decode_head=dict(
        loss_decode=dict(
            type='OhemBalancedLoss', class_weight={{_base_.kitti_class_weight}}, thresh=0.5, min_kept=8 * 10_000
        ),
    ),
    auxiliary_head=dict(loss_decode=dict(class_weight={{_base_.kitti_class_weight}})),
)
