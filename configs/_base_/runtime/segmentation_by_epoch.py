# The shared runtime for schedules in epochs: one checkpoint an epoch, and logs that count epochs.
_base_ = './segmentation.py'

default_hooks = dict(logger=dict(log_metric_by_epoch=True), checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
