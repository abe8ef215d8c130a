"""ViT-small with 256 patches on CIFAR-100 by the training habits of DeiT (arXiv:2012.12877).

Published: - (not in a report). Not trained here.
Data: data/README.md, cifar100. One GPU.
Run: python tools/train.py configs/classification/vit/vit-small-p2-modern_1xb256-300e_cifar100-32x32.py
"""

_base_ = [
    '../../_base_/models/report_vit_small.py',
    '../../_base_/datasets/cifar100.py',
    '../../_base_/schedules/cifar100_200e.py',
    '../../_base_/runtime/classification.py',
]

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # arXiv:1909.13719
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10, magnitude_level=9),
    # arXiv:1708.04896
    dict(type='RandomErasing', erase_prob=0.25, mode='rand', fill_color=[129.304, 124.07, 112.434]),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

model = dict(
    # stochastic depth, arXiv:1603.09382
    backbone=dict(patch_size=2, out_proj=True, drop_path_rate=0.1),
    # label smoothing, arXiv:1512.00567
    head=dict(loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
    # arXiv:1905.04899, arXiv:1710.09412
    train_cfg=dict(
        augments=[dict(type='PairwiseCutMix'), dict(type='PairwiseCutMix', kind='mixup', alpha=0.8)], probs=[0.5, 0.5]
    ),
)

max_epochs, warm_up = 300, 10
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0), '.pos_embed': dict(decay_mult=0.0)},
    ),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=warm_up, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=warm_up, end=max_epochs, convert_to_iter_based=True
    ),
]
train_cfg = dict(max_epochs=max_epochs)
# averaged weights, validated and kept
custom_hooks = [
    dict(type='EpochLossesHook'),
    dict(type='TrainAccuracyHook'),
    dict(type='EMAHook', momentum=2e-4, priority='ABOVE_NORMAL'),
    dict(type='RunSummaryHook'),
]
