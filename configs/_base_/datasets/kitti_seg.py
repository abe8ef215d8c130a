# KITTI-seg, 150 train / 50 val, as tools/prepare/kitti.py lays it out. Frames are about 1242 x 375 (width x height).
data_root = 'data/kitti_seg'
crop_hw = (368, 368)

# 1 / log1p(pixels of the class), scaled to sum to 19: counted on the report's 150 training frames
kitti_class_weight = [
    0.75952312,
    0.8523161,
    0.80858376,
    0.94312681,
    0.95249373,
    0.91668514,
    1.02670926,
    0.99855901,
    0.74849044,
    0.8041853,
    0.79715573,
    1.14388026,
    1.28290288,
    0.82965688,
    1.04470749,
    1.17929034,
    1.32624767,
    1.40595936,
    1.17952672,
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # the ratios 0.5, 0.75, 1, 1.25, 1.5 and 1.75
    dict(
        type='RandomChoiceResize',
        scales=[(621, 187), (931, 281), (1242, 375), (1552, 469), (1863, 562), (2173, 656)],
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=crop_hw, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# Sides that 32 divides: MiT's stride. Annotations are loaded after resizing, so scores are those of the full frame.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1280, 384), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(640, 192), keep_ratio=False),
                dict(type='Resize', scale=(960, 288), keep_ratio=False),
                dict(type='Resize', scale=(1280, 384), keep_ratio=False),
                dict(type='Resize', scale=(1600, 480), keep_ratio=False),
                dict(type='Resize', scale=(1920, 576), keep_ratio=False),
                dict(type='Resize', scale=(2240, 672), keep_ratio=False),
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='KITTISegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='KITTISegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
