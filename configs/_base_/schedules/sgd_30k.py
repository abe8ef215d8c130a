# SGD with polynomial decay, the backbone ten times slower: how VainF/DeepLabV3Plus-Pytorch trains on Cityscapes.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = [dict(type='PolyLR', eta_min=1e-6, power=0.9, by_epoch=False, begin=0, end=30_000)]

train_cfg = dict(type='IterBasedTrainLoop', max_iters=30_000, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
