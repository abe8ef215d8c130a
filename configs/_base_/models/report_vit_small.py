# ViT-small of the report street-voc-vit: 12 encoders of 192 channels and 3 heads, no dropout; 64 patches of 4 x 4 pixels.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=100,
        mean=[129.304, 124.070, 112.434],
        std=[68.170, 65.392, 70.418],
        to_rgb=False,
    ),
    backbone=dict(
        type='ReportViT',
        img_size=32,
        patch_size=4,
        embed_dims=192,
        feedforward_channels=768,
        num_heads=3,
        num_layers=12,
        pos_embed='learned',
        out_proj=False,
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=100, in_channels=192, loss=dict(type='CrossEntropyLoss')),
)
