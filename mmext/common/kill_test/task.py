"""The trainings that are killed: a toy by each kind of loop, or a config of the project, shortened."""

import copy

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from mmext.common import running
from mmext.common.durable_runner import DurableRunner

from . import toy  # noqa: F401 (registers what the settings name)

LOOPS = ('iter', 'epoch', 'staged')
# Moments that a training tells whoever wants to kill it.
STEP, VALIDATION, CHECKPOINT = b'svc'

ADAM = dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.01))
SGD = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
BY_EPOCH = dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='score', rule='greater')
BY_ITER = BY_EPOCH | dict(by_epoch=False, interval=5)
# Loop -> what is different. 24 iterations each, by epochs of six; checkpoints meet validations in some places only.
TASKS = {
    'iter': dict(
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=24, val_interval=10),
        sampler=dict(type='InfiniteSampler', shuffle=True),
        # With checkpoints between two steps of the optimizer.
        optim_wrapper=dict(ADAM, accumulative_counts=2),
        param_scheduler=[dict(type='PolyLR', power=0.9, by_epoch=False, begin=0, end=24)],
        checkpoint=BY_ITER,
    ),
    'epoch': dict(
        train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=1),
        sampler=dict(type='DefaultSampler', shuffle=True),
        optim_wrapper=SGD,
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=8),
            dict(type='ExponentialLR', gamma=0.8, by_epoch=True, begin=0, end=4),
        ],
        checkpoint=BY_EPOCH,
    ),
    'staged': dict(
        train_cfg=dict(
            type='StagedTrainLoop',
            stages=[
                dict(epochs=2, freeze=['backbone.0'], lr=0.01, lr_decay=0.9),
                dict(epochs=2, lr=0.002, param_scheduler=[dict(type='CosineAnnealingLR', by_epoch=False)]),
            ],
        ),
        sampler=dict(type='DefaultSampler', shuffle=True),
        optim_wrapper=ADAM,
        param_scheduler=None,
        checkpoint=BY_ITER | dict(interval=4),
    ),
}


def toy_task(loop: str, workers: int = 0, processes: int = 1) -> Config:
    """Settings of the toy training.

    Args:
        loop: One of `LOOPS`.
        workers: Of the dataloaders, each.
        processes: That train together; each has batches of the same number of samples.
    """
    task = copy.deepcopy(TASKS[loop])
    by_epoch = loop != 'iter'
    loader = dict(
        batch_size=4,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=dict(type='default_collate'),
    )
    return Config(
        dict(
            default_scope='mmengine',
            model=dict(type='KillTestNet'),
            train_dataloader=dict(
                loader, sampler=task['sampler'], dataset=dict(type='KillTestPoints', samples=24 * processes)
            ),
            val_dataloader=dict(
                loader,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='KillTestPoints', samples=9, seed=1, augment=False),
            ),
            val_evaluator=dict(type='KillTestMetric'),
            val_cfg=dict(),
            train_cfg=task['train_cfg'],
            optim_wrapper=dict(type='OptimWrapper', **task['optim_wrapper']),
            param_scheduler=task['param_scheduler'],
            default_hooks=dict(
                checkpoint=task['checkpoint'],
                logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=by_epoch),
            ),
            custom_hooks=[dict(type='EpochLossesHook', interval=7), dict(type='EMAHook')],
            log_processor=dict(by_epoch=by_epoch, window_size=5),
            log_level='WARNING',
        )
    )


def real_task(path: str, workers: int = 0, iterations: int = 20, options: dict | None = None) -> Config:
    """Settings of a config of iterations, shortened: validations every half of it, checkpoints every quarter.

    Raises:
        ValueError: the config counts epochs.
    """
    cfg = running.load_config(path, options)
    if 'max_iters' not in cfg.train_cfg:
        raise ValueError(f'{path}: its train_cfg counts epochs; give a config with max_iters')
    cfg.train_cfg.update(max_iters=iterations, val_interval=max(1, iterations // 2))
    cfg.default_hooks.checkpoint.interval = max(1, iterations // 4)
    cfg.default_hooks.logger.interval = 1
    for name in ('train_dataloader', 'val_dataloader'):
        cfg[name].update(num_workers=workers, persistent_workers=workers > 0)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.log_level = 'WARNING'
    return cfg


class MomentsHook(Hook):
    """Writes a byte to a pipe whenever a step, a validation or the writing of a checkpoint begins."""

    priority = 'LOWEST'

    def __init__(self, write: int) -> None:
        self._file = open(write, 'wb', buffering=0)  # noqa: SIM115 (open as long as the process lives)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._file.write(bytes([STEP]))

    def before_val_epoch(self, runner) -> None:
        self._file.write(bytes([VALIDATION]))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        self._file.write(bytes([CHECKPOINT]))


@RUNNERS.register_module()
class KillTestRunner(DurableRunner):
    """Logs no versions of compilers and GPUs, which takes seconds to find out."""

    def _log_env(self, env_cfg: dict) -> None:
        pass


def train(cfg: Config, work_dir: str, seed: int, launcher: str, moments: int | None = None) -> None:
    """What tools/train.py does with ``--resume --seed SEED --deterministic``.

    Args:
        cfg: Settings; not changed.
        work_dir: Of the run.
        seed: Of the run.
        launcher: 'none' or 'pytorch'.
        moments: File descriptor that is told the moments.
    """
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = work_dir
    running.set_resume(cfg, 'auto')
    running.set_randomness(cfg, seed, deterministic=True)
    running.set_launcher(cfg, launcher)
    runner = KillTestRunner.from_cfg(cfg)
    if moments is not None:
        runner.register_hook(MomentsHook(moments))
    runner.train()
