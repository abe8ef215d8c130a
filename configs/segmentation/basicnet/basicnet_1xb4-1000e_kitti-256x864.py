"""BasicNet, the baseline of the kitti report, on KITTI-seg from scratch, 1 GPU x 4 images, 1000 epochs.

Published: mIoU 0.4271 (arXiv:2206.12571), 67.003 GMACs at 375 x 1242, 15.28 M parameters. Not trained here.
The loss is the mean over labelled pixels; the report's divides by all pixels, ignored ones included.
Data: tools/prepare/kitti.py. Run: python tools/train.py configs/segmentation/basicnet/basicnet_1xb4-1000e_kitti-256x864.py
"""

_base_ = './basicnet_1xb4-180e_kitti-256x864.py'

train_cfg = dict(max_epochs=1000)
