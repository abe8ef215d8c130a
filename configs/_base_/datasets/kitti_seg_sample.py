# The rendered street frames of data/samples/kitti_seg, 24 train / 8 val, at half resolution. They need no preparation.
data_root = 'data/samples/kitti_seg'
crop_hw = (128, 256)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(621, 188), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_hw, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(640, 192), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(480, 160), keep_ratio=False),
                dict(type='Resize', scale=(640, 192), keep_ratio=False),
                dict(type='Resize', scale=(800, 256), keep_ratio=False),
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

sample = dict(
    type='KITTISegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='training/image_2', seg_map_path='training/semantic'),
    label_encoding='label_ids',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', pipeline=train_pipeline, **sample),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='val.txt', pipeline=test_pipeline, **sample),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
