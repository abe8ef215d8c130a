"""UNet-S5-D16 on KITTI-seg, from scratch, 1 GPU x 8 images, 20k iterations. arXiv:1505.04597

The tricks of the kitti report (class-balanced OHEM, multi-scale training, balanced auxiliary loss), its optimiser for
convolutional networks, --tta at six scales with flips. Published: mIoU 0.4555 (0.4613 in the text) (arXiv:2206.12571), 356 GMACs at 368 x 1248. Not trained here.
Data: tools/prepare/kitti.py. Hardware of the report: 4 RTX A5000.
Run: python tools/train.py configs/segmentation/unet/unet_s5-d16_1xb8-20k_kitti-368x368.py
"""

_base_ = [
    '../../_base_/models/unet_s5-d16.py',
    '../../_base_/datasets/kitti_seg.py',
    '../../_base_/schedules/kitti_sgd_20k.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    decode_head=dict(
        loss_decode=dict(
            type='OhemBalancedLoss', class_weight={{_base_.kitti_class_weight}}, thresh=0.5, min_kept=8 * 10_000
        ),
    ),
    auxiliary_head=dict(loss_decode=dict(class_weight={{_base_.kitti_class_weight}})),
)
