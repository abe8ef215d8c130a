default_scope = 'mmseg'
custom_imports = dict(imports=['mmext.segmentation'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)
# batch norm is synchronised over the GPUs of a distributed run, and left alone otherwise
sync_bn = 'torch'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=500,
        max_keep_ckpts=2,
        save_best='mIoU',
        # of these the highest is the best, also class by class: save_best='IoU.person'
        greater_keys=['IoU', 'Acc', 'Dice', 'Fscore', 'Precision', 'Recall'],
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegPictureHook'),
    initialisation=dict(type='InitialisationProofHook'),
    non_finite=dict(type='NonFiniteGuard'),
    run_record=dict(type='RunRecordHook'),
    position=dict(type='PositionHook'),
)
custom_hooks = [dict(type='ValLossHook'), dict(type='RunSummaryHook')]

visualizer = dict(
    type='SegLocalVisualizer',
    name='visualizer',
    vis_backends=[dict(type='PositionedLocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='StreamingTTA')
