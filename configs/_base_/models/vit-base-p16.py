# ViT-B/16 for 224 x 224 pixels, arXiv:2010.11929, with a new head for two classes; pictures normalised as its authors do.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor', num_classes=2, mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True
    ),
    backbone=dict(type='VisionTransformer', arch='b', img_size=224, patch_size=16),
    head=dict(type='VisionTransformerClsHead', num_classes=2, in_channels=768, loss=dict(type='CrossEntropyLoss')),
)
