"""Pyramid pooling on a ResNet-18 at stride 8, from scratch on the embedded sample, 300 iterations.

The three recipes on the sample differ in their context alone: a small ablation for two CPU cores, some 200 s each.
arXiv:1612.01105
Published: nothing. Trained here: mIoU 31.18 (one seed, two CPU cores).
Data: data/samples/kitti_seg, 24 train / 8 val rendered frames.
Run: python tools/train.py configs/segmentation/context/ppm_r18-d8_1xb4-300i_sample-128x256.py
"""

_base_ = [
    '../../_base_/models/context_r18-d8.py',
    '../../_base_/datasets/kitti_seg_sample.py',
    '../../_base_/runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size={{_base_.crop_hw}}),
    decode_head=dict(loss_decode=dict(class_weight='data/samples/kitti_seg_class_weights.json')),
)

max_iters = 300
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=30, end=max_iters),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=150)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=4)

randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=150))
