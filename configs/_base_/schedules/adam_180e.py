# Adam with a fixed rate, no warm-up and no weight decay.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-4))
param_scheduler = []

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=180, val_interval=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=4)
