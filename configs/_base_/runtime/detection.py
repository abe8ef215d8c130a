default_scope = 'mmdet'
custom_imports = dict(imports=['mmext.detection'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='mAP', greater_keys=['mAP', 'AP', 'matched']
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    initialisation=dict(type='InitialisationProofHook'),
    non_finite=dict(type='NonFiniteGuard'),
    run_record=dict(type='RunRecordHook'),
    position=dict(type='PositionHook'),
)
custom_hooks = [
    dict(
        type='EpochLossesHook',
        names=dict(
            loss_rpn_cls='rpn_cls', loss_rpn_bbox='rpn_loc', loss_cls='roi_cls', loss_bbox='roi_loc', loss='total'
        ),
    ),
    dict(type='DetectionValLossHook'),
    dict(type='RunSummaryHook'),
]

visualizer = dict(
    type='DetLocalVisualizer',
    name='visualizer',
    vis_backends=[dict(type='PositionedLocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
