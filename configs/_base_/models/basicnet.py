# The kitti report's baseline: convolutions and pools down to 1/16, transposed convolutions up, no normalisation.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(256, 864),
)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='BasicNet'),
    decode_head=dict(
        type='BasicNetHead',
        output_hw=(256, 864),
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type='ClassBalancedLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
