"""PSPNet R18-D8 on KITTI-seg, distilled channel by channel from PSPNet R101-D8, 1 GPU x 8 images, 20k iterations. arXiv:2011.13256

The student's own recipe and, on top, its logits drawn to the teacher's; tau and weight are mmrazor's for this pair.
Published: mIoU 0.5449 (arXiv:2206.12571), below the 0.5933 without a teacher; 99 GMACs, of which the student explains 97.213.
Not trained here. Data: tools/prepare/kitti.py. Weights: train the teacher first, README.md says how.
Run: python tools/train.py configs/segmentation/cwd/cwd_pspnet-r18-d8-in1k-pre_1xb8-20k_kitti-368x368.py
"""

_base_ = '../pspnet/pspnet_r18-d8-in1k-pre_1xb8-20k_kitti-368x368.py'

model = dict(
    _delete_=True,
    type='ChannelWiseDistiller',
    data_preprocessor={{_base_.model.data_preprocessor}},
    student={{_base_.model}},
    teacher='configs/segmentation/pspnet/pspnet_r101-d8-in1k-pre_1xb8-20k_kitti-368x368.py',
    teacher_checkpoint='work_dirs/pspnet_r101-d8-in1k-pre_1xb8-20k_kitti-368x368/iter_20000.pth',
    distill=[
        dict(
            student_layer='decode_head.conv_seg',
            teacher_layer='decode_head.conv_seg',
            loss=dict(type='ChannelWiseDivergence', tau=1.0, loss_weight=5.0),
        )
    ],
)
