"""Faster R-CNN R50-C4 with RoI pooling from random weights, VOC07+12 split, schedule of the pretrained ones.

Report street-voc-vit, arXiv:1506.01497. Published: - (0.125 after about 260 epochs). Not trained here.
Data: tools/prepare/voc.py. No weights.
Hardware: one GPU; 5011 training images.
Run: python tools/train.py configs/detection/faster_rcnn/faster-rcnn_r50-c4-roipool_1xb4-30e-b2-40e_voc0712-600x600.py
"""

_base_ = [
    '../../_base_/models/faster-rcnn_r50-c4.py',
    '../../_base_/datasets/voc0712_split.py',
    '../../_base_/schedules/voc0712_staged_70e.py',
    '../../_base_/runtime/detection.py',
]

# Random weights must not stand still: no stage freezes, and batch norm learns its statistics.
model = dict(backbone=dict(norm_eval=False), roi_head=dict(shared_head=dict(norm_eval=False)))
train_cfg = dict(
    stages=[
        dict(epochs=30, freeze=[], lr=1e-4, batch_size=4, lr_decay=0.96),
        dict(epochs=40, freeze=[], lr=1e-5, batch_size=2, lr_decay=0.96),
    ]
)
