# ResNet-18 dilated to stride 8, a context module and the auxiliary classifier on layer3. Swap `context` to compare.
# Every 3x3 convolution of layer3 that the report names has rate 2, those of layer4 rate 4.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 1024),
)

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
    ),
    decode_head=dict(
        type='ContextHead',
        context=dict(type='PyramidPooling'),
        auxiliary=dict(in_channels=256, in_index=2, channels=64),
        aux_weight=0.4,
        in_channels=512,
        in_index=3,
        channels=128,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='ClassBalancedLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
