# UNet16: the U-Net with VGG16 as encoder. arXiv:1505.04597, arXiv:1801.05746
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='VGG16',
        levels='convs',
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/vgg16-397923af.pth'),
    ),
    decode_head=dict(
        type='UNet16Head',
        in_channels=[64, 128, 256, 512, 512],
        channels=32,
        num_classes=7,
        align_corners=False,
        loss_decode=dict(type='ClassBalancedLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
