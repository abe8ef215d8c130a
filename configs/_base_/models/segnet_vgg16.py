# SegNet: VGG16 with batch normalisation, max-unpooling with the positions of its pools. arXiv:1511.00561
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='VGG16',
        with_bn=True,
        return_indices=True,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/vgg16_bn-6c64b313.pth'),
    ),
    decode_head=dict(
        type='SegNetHead',
        in_channels=512,
        num_classes=7,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='ClassBalancedLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
