"""Faster R-CNN R50-C4 with RoI pooling from random weights, VOC07+12 split, 260 epochs.

Report street-voc-vit, arXiv:1506.01497. Published: mAP@.5 0.125. Not trained here.
Data: tools/prepare/voc.py. No weights.
Hardware: one GPU; 5011 training images. The rate starts anew every 30 to 40 epochs.
Run: python tools/train.py configs/detection/faster_rcnn/faster-rcnn_r50-c4-roipool_1xb4-260e_voc0712-600x600.py
"""

_base_ = [
    '../../_base_/models/faster-rcnn_r50-c4.py',
    '../../_base_/datasets/voc0712_split.py',
    '../../_base_/schedules/voc0712_staged_70e.py',
    '../../_base_/runtime/detection.py',
]

# Random weights must not stand still: no stage freezes, and batch norm learns its statistics.
model = dict(backbone=dict(norm_eval=False), roi_head=dict(shared_head=dict(norm_eval=False)))
stage = dict(freeze=[], lr=1e-4, batch_size=4, lr_decay=0.96)
train_cfg = dict(stages=[dict(epochs=epochs, **stage) for epochs in (30, 30, 40, 40, 40, 40, 40)])
auto_scale_lr = dict(base_batch_size=4)
