# Two stages, report street-voc-vit: the backbone stands still for 30 epochs, then everything learns for 40 at a tenth of
# the rate and half the batch. The rate falls by 4 % an epoch and starts anew with the stage.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4, weight_decay=5e-4))
param_scheduler = None

train_cfg = dict(
    type='StagedTrainLoop',
    val_interval=1,
    stages=[
        dict(epochs=30, freeze=['backbone'], lr=1e-4, batch_size=4, lr_decay=0.96),
        dict(epochs=40, freeze=[], lr=1e-5, batch_size=2, lr_decay=0.96),
    ],
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=[4, 2])
