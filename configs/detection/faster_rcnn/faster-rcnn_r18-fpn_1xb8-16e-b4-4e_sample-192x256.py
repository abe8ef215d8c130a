"""A detector of the 20 VOC classes, trained from scratch on the embedded sample in a few minutes on two CPU cores.

Faster R-CNN with a ResNet-18 of half width and a light pyramid; first everything learns, then the heads alone.
Two to four minutes on two cores. Published: - (not in a report). Trained here: mAP@.5 0.8730 on VOC2007 test, 0.8888 on VOC2012 val.
Data: data/samples/VOCdevkit, rendered pictures in the layout of VOC2007 and VOC2012.
Run: python tools/train.py configs/detection/faster_rcnn/faster-rcnn_r18-fpn_1xb8-16e-b4-4e_sample-192x256.py
"""

_base_ = [
    '../../_base_/models/faster-rcnn_r50-fpn.py',
    '../../_base_/datasets/voc0712_split.py',
    '../../_base_/runtime/detection.py',
]

data_root = 'data/samples/VOCdevkit'
crop_wh = (256, 192)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=crop_wh, ratio_range=(0.8, 1.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_wh, allow_negative_crop=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=crop_wh, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=_base_.meta_keys),
]
loader = dict(num_workers=2)
train_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=train_pipeline), **loader)
val_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=test_pipeline), **loader)
test_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=test_pipeline), **loader)

channels = 64
model = dict(
    backbone=dict(depth=18, base_channels=32, norm_eval=False),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=channels, start_level=1, num_outs=3),
    rpn_head=dict(in_channels=channels, feat_channels=channels, anchor_generator=dict(scales=[4], strides=[8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=[8, 16, 32]),
        bbox_head=dict(in_channels=channels, fc_out_channels=256),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=60)),
)

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05), clip_grad=dict(max_norm=10)
)
train_cfg = dict(
    type='StagedTrainLoop',
    val_interval=4,
    stages=[
        dict(
            epochs=16,
            freeze=[],
            lr=2e-3,
            batch_size=8,
            param_scheduler=[
                dict(type='CosineAnnealingLR', T_max=16, eta_min=2e-4, by_epoch=True, convert_to_iter_based=True)
            ],
        ),
        dict(epochs=4, freeze=['backbone'], lr=2e-4, batch_size=4, lr_decay=0.7),
    ],
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=[8, 4])
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=10))
