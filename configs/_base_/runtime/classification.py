default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmext.classification'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='accuracy/top1', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
    initialisation=dict(type='InitialisationProofHook'),
    non_finite=dict(type='NonFiniteGuard'),
    run_record=dict(type='RunRecordHook'),
    position=dict(type='PositionHook'),
)
custom_hooks = [dict(type='EpochLossesHook'), dict(type='TrainAccuracyHook'), dict(type='RunSummaryHook')]

visualizer = dict(
    type='UniversalVisualizer',
    name='visualizer',
    vis_backends=[dict(type='PositionedLocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
