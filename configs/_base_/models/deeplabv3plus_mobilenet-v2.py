# DeepLabV3+ on MobileNetV2 with output stride 16, as VainF/DeepLabV3Plus-Pytorch builds it. arXiv:1802.02611
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(768, 768),
)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='FixedPaddingMobileNetV2', output_stride=16, norm_cfg=dict(type='BN', momentum=0.01)),
    decode_head=dict(
        type='DeepLabV3PlusHead',
        in_channels=[24, 320],
        in_index=[0, 1],
        channels=256,
        low_level_channels=48,
        dilations=(6, 12, 18),
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
