"""Faster R-CNN R50-C4 with RoI pooling from the backbone of a COCO Mask R-CNN, VOC07+12 split.

Report street-voc-vit, arXiv:1506.01497. Published: mAP@.5 0.676. Not trained here.
Data: tools/prepare/voc.py. Weights: tools/prepare/convert_maskrcnn.py (backbone of a COCO Mask R-CNN).
Hardware: one GPU; 5011 training images.
Run: python tools/train.py configs/detection/faster_rcnn/faster-rcnn_r50-c4-roipool-coco-pre_1xb4-30e-b2-40e_voc0712-600x600.py
"""

_base_ = [
    '../../_base_/models/faster-rcnn_r50-c4.py',
    '../../_base_/datasets/voc0712_split.py',
    '../../_base_/schedules/voc0712_staged_70e.py',
    '../../_base_/runtime/detection.py',
]

checkpoint = 'checkpoints/maskrcnn-r50-coco-backbone.pth'
init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
model = dict(backbone=dict(init_cfg=init_cfg), roi_head=dict(shared_head=dict(init_cfg=init_cfg)))
default_hooks = dict(initialisation=dict(min_loaded={'backbone': 1.0, 'roi_head.shared_head': 1.0}))
