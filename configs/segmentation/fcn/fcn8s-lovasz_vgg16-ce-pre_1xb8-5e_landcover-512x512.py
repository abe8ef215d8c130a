"""FCN8s on VGG16 fine-tuned with the Lovasz-softmax loss, land cover, 1 GPU x 8 images, 5 epochs. arXiv:1411.4038, arXiv:1705.08790

Starts from the cross-entropy model: train fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512, then
cp work_dirs/fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512/best_mIoU_epoch_*.pth checkpoints/fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.pth
Published: mIoU 0.705292, loss 0.357549 (dlcv report, six classes). Not trained here.
Data: tools/prepare/land_cover.py. Weights: metafile.yml. Hardware of the report: not named.
Run: python tools/train.py configs/segmentation/fcn/fcn8s-lovasz_vgg16-ce-pre_1xb8-5e_landcover-512x512.py
"""

_base_ = './fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.py'

model = dict(
    backbone=dict(init_cfg=None),
    decode_head=dict(loss_decode=dict(_delete_=True, type='LovaszSoftmaxLoss')),
)

# A tenth of the rate of the first training: the model is to be moved, not trained anew.
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = [
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=True, begin=0, end=5, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=5)

load_from = 'checkpoints/fcn8s_vgg16-in1k-pre_1xb8-15e_landcover-512x512.pth'
custom_hooks = [
    dict(type='ValLossHook'),
    dict(type='StagePictureHook', stages=dict(early=1, middle=3, final=5)),
    dict(type='RunSummaryHook'),
]
