"""SegFormer MiT-B0 on KITTI-seg, encoder from ImageNet, 1 GPU x 8 images, 20k iterations. arXiv:2105.15203

All tricks of the kitti report: class-balanced OHEM, multi-scale training, auxiliary FCN head, poly schedule; --tta
tests at six scales with flips. Published: mIoU 0.5533 (arXiv:2206.12571), 15.579 GMACs at 375 x 1242. Not trained here.
Data: tools/prepare/kitti.py. Weights: metafile.yml. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/segformer/segformer_mit-b0-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = [
    '../../_base_/models/segformer_mit-b0.py',
    '../../_base_/datasets/kitti_seg.py',
    '../../_base_/schedules/kitti_20k.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mit_b0.pth')),
    decode_head=dict(
        loss_decode=dict(
            type='OhemBalancedLoss', class_weight={{_base_.kitti_class_weight}}, thresh=0.5, min_kept=8 * 10_000
        )
    ),
    auxiliary_head=dict(loss_decode=dict(class_weight={{_base_.kitti_class_weight}})),
)
