"""DeepLabV3+ MobileNetV2 on Cityscapes as in VainF/DeepLabV3Plus-Pytorch, encoder from ImageNet, 1 GPU x 16 images, 30k iterations.

arXiv:1802.02611, output stride 16. The network that the report street-voc-vit (1) runs on video, with the published
weights of that repository. Published: mIoU 0.721 (VainF/DeepLabV3Plus-Pytorch). Not trained here. That code jitters
brightness, contrast and saturation by a half, where this recipe distorts colours as the customary pipeline does.
Data: data/README.md. Weights: metafile.yml. Hardware: not published.
Run: python tools/train.py configs/segmentation/deeplabv3plus/deeplabv3plus_mobilenet-v2-in1k-pre_1xb16-30k_cityscapes-768x768.py
"""

_base_ = [
    '../../_base_/models/deeplabv3plus_mobilenet-v2.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/sgd_30k.py',
    '../../_base_/runtime/segmentation.py',
]

# crops of the image as it is: no change of scale
crop_hw = (768, 768)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_hw),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))

model = dict(
    data_preprocessor=dict(size=crop_hw),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mobilenet_v2-b0353104.pth')),
)

default_hooks = dict(checkpoint=dict(interval=1000))
