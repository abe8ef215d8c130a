# PASCAL VOC: train = VOC2007 trainval, val = VOC2007 test, test = VOC2012 val (tools/prepare/voc.py). Training pictures
# are scaled by 0.25 to 2 and cut or padded to 600 x 600; validation and test scale the shorter side to 600.
crop_hw = (600, 600)
data_root = 'data/VOCdevkit'
meta_keys = ('img_id', 'img_path', 'source', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=crop_hw, ratio_range=(0.25, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_hw, allow_negative_crop=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='Pad', size=crop_hw, pad_val=dict(img=(128, 128, 128))),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1000, 600), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(type='VOC0712SplitDataset', data_root=data_root, part='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC0712SplitDataset', data_root=data_root, part='val', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC0712SplitDataset', data_root=data_root, part='test', test_mode=True, pipeline=test_pipeline),
)
val_evaluator = dict(type='VOCDetectionMetric', preset='report')
test_evaluator = val_evaluator
