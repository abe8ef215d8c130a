"""Faster R-CNN R50-C4 with RoI pooling from ImageNet weights, VOC07+12 split, 30 epochs frozen, 40 not.

Report street-voc-vit, arXiv:1506.01497. Published: mAP@.5 0.649. Not trained here.
Data: tools/prepare/voc.py. Weights: metafile.yml (ImageNet ResNet-50).
Hardware: one GPU; 5011 training images.
Run: python tools/train.py configs/detection/faster_rcnn/faster-rcnn_r50-c4-roipool-in1k-pre_1xb4-30e-b2-40e_voc0712-600x600.py
"""

_base_ = [
    '../../_base_/models/faster-rcnn_r50-c4.py',
    '../../_base_/datasets/voc0712_split.py',
    '../../_base_/schedules/voc0712_staged_70e.py',
    '../../_base_/runtime/detection.py',
]

checkpoint = 'checkpoints/resnet50-0676ba61.pth'
init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
model = dict(backbone=dict(init_cfg=init_cfg), roi_head=dict(shared_head=dict(init_cfg=init_cfg)))
default_hooks = dict(initialisation=dict(min_loaded={'backbone': 1.0, 'roi_head.shared_head': 1.0}))
