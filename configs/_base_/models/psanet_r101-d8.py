# PSANet as hszhao/semseg builds it (ECCV 2018): both directions, attention on a map shrunk by 2, softmax over the sources.
_base_ = './pspnet_r101-d8_semseg.py'

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    decode_head=dict(
        _delete_=True,
        type='PSANetHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        # crops of 705 give maps of 89 x 89, shrunk to 45 x 45: from any position, all others lie within 44
        mask_size=(2 * 45 - 1, 2 * 45 - 1),
        shrink_factor=2,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
)
