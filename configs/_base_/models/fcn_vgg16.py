# FCN32s on VGG16 as the dlcv report prints it; `stride` 16, 8, 4 and 2 give the other FCNs. arXiv:1411.4038
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
    backbone=dict(type='VGG16', init_cfg=dict(type='Pretrained', checkpoint='checkpoints/vgg16-397923af.pth')),
    decode_head=dict(
        type='VGGFCNHead',
        stride=32,
        in_channels=[64, 128, 256, 512, 512],
        channels=4096,
        dropout_ratio=0.1,
        num_classes=7,
        align_corners=False,
        loss_decode=dict(type='ClassBalancedLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
