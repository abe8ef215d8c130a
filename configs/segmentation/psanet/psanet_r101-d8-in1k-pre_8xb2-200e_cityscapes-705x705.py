"""PSANet R101-D8 on Cityscapes as in hszhao/semseg, encoder from ImageNet, 8 GPUs x 2 images, 200 epochs. ECCV 2018

The network that the report street-voc-vit (1) runs on video, with the published weights of that repository.
Published: mIoU 0.7842, with six scales and flips 0.7940 (hszhao/semseg). Not trained here. That code also blurs half
of the training images, and averages probabilities with those of the mirrored image where sliding windows overlap.
Data: data/README.md. Weights: metafile.yml. Hardware there: 8 RTX 2080 Ti, 10.5 hours.
Run: python tools/train.py configs/segmentation/psanet/psanet_r101-d8-in1k-pre_8xb2-200e_cityscapes-705x705.py
"""

_base_ = [
    '../../_base_/models/psanet_r101-d8.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/sgd_200e.py',
    '../../_base_/runtime/segmentation_by_epoch.py',
]

# 16 n + 1, so that the map of an eighth is odd and halves with its corners kept
crop_hw = (705, 705)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    # what comes in from outside is the mean colour (BGR)
    dict(type='RandomRotate', prob=0.5, degree=10, pad_val=(103.53, 116.28, 123.675), seg_pad_val=255),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=crop_hw),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    drop_last=True,
    dataset=dict(pipeline=train_pipeline),
)

model = dict(
    data_preprocessor=dict(size=crop_hw),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/resnet101_semseg.pth')),
    # windows overlap by a third
    test_cfg=dict(mode='slide', crop_size=crop_hw, stride=(470, 470)),
)

default_hooks = dict(checkpoint=dict(interval=10))
