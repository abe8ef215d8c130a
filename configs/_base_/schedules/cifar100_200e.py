# Adam, linear warm-up of 780 iterations to 3e-4, then constant; 200 epochs (report street-voc-vit).
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-4))
param_scheduler = [dict(type='LinearLR', start_factor=1 / 780, by_epoch=False, begin=0, end=780)]

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=256)
