"""Training in stages: each with its own frozen modules, learning rate and batch size, all in one run."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, LOOPS
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from mmext.common.freezing import Freezer

from .resumable_loops import ResumableEpochLoop
from .stage_optimizer import build_stage_schedulers, build_trainable_optim_wrapper, carry_state
from .stage_resumption import RECORD, resumption_point
from .stage_schedule import Stage, StagePlan, lr_scales, merge_settings, parse_stages


@LOOPS.register_module()
class StagedTrainLoop(ResumableEpochLoop):
    """Trains by epochs, stage after stage::

        train_cfg = dict(type='StagedTrainLoop', val_interval=1, stages=[
            dict(epochs=30, freeze=['backbone'], lr=1e-4, batch_size=4, lr_decay=0.96),
            dict(epochs=40, lr=1e-5, batch_size=2, lr_decay=0.96)])
        param_scheduler = None

    Of each stage:

    - ``epochs``: its length. What stands outside the stages counts through: ``max_epochs`` is the sum.
    - ``freeze``: names of modules as in ``model.named_modules()``; `Freezer` tells what that means.
    - ``lr``: learning rate at its start; ``lr_mult`` of ``paramwise_cfg`` is kept. Default: that of ``optim_wrapper``.
    - ``batch_size``: of each process. Default: that of ``train_dataloader``. The dataset is built once.
    - ``lr_decay``: factor of the learning rate after every epoch; or ``param_scheduler``: settings of mmengine's
      schedulers, whose epochs, iterations and default ``end`` are those of the stage. Default: constant.
    - ``optim_wrapper``: settings merged over the config's ``optim_wrapper``; an optimiser of another ``type`` takes the
      place of the config's with none of its arguments.

    A stage trains with a new optimiser of its trainable parameters, which takes over the state of those that the stage
    before trained as well; the others start clean. With gradient accumulation the last iteration of a stage updates.

    A run that goes on from a checkpoint equals one that was never interrupted in stage, frozen parameters, state of the
    optimiser, learning rate and order of the samples, also within an epoch; see `ResumableEpochLoop`. A change of the
    stages so far is an error.

    Distributed training wraps the model anew in every stage: no process waits for gradients of frozen parameters.

    ``auto_scale_lr`` scales the learning rate of every stage by its own total batch size; where stages differ in
    ``batch_size``, ``base_batch_size`` must be a list of one a stage.

    Args:
        runner: mmengine's Runner. Its ``optim_wrapper`` and ``train_dataloader`` must be settings, not objects.
        dataloader: Settings of the train dataloader.
        stages: As above.
        val_begin: First epoch after which to validate, counted from 1 through all stages.
        val_interval: Epochs between two validations, counted through all stages.

    Raises:
        ValueError: A setting of any stage that cannot be used; names stage, key and value.
    """

    def __init__(
        self, runner, dataloader: dict, stages: Sequence[dict], val_begin: int = 1, val_interval: int = 1
    ) -> None:
        _check_runner(runner, dataloader)
        self._dataloader_settings = _with_dataset_built_once(dataloader)
        defaults = dict(lr=runner.optim_wrapper['optimizer'].get('lr'), batch_size=dataloader.get('batch_size', 1))
        parsed = [_complete(stage, **defaults) for stage in parse_stages(stages)]
        self._seed, self._dataloaders = runner.seed, _build_dataloaders(runner, self._dataloader_settings, parsed)
        self.plan = StagePlan(parsed, [len(dataloader) for dataloader in self._dataloaders])
        max_epochs = self.plan.ends[-1]
        super().__init__(runner, self._dataloaders[0], max_epochs, val_begin, val_interval)
        self._max_iters = self.plan.iteration_at(max_epochs)
        self._optim_settings = _optim_settings(parsed, runner)
        runner.auto_scale_lr = None  # is in these settings; the Runner would scale by the dataloader's own batch size
        self._freezer = Freezer(runner.model.module if is_model_wrapper(runner.model) else runner.model)
        self._stage = 0  # what model, optimiser and dataloader are set up for
        self._begun: int | None = None  # what was logged and recorded
        self._check_stages()
        self._enter(0)

    def run(self) -> nn.Module:
        """Train all stages, or what a checkpoint has left of them."""
        if self.runner.seed != self._seed:  # the checkpoint's, by which the order of the samples goes on
            self._seed = self.runner.seed
            self._dataloaders = _build_dataloaders(self.runner, self._dataloader_settings, self.plan.stages)
            self.dataloader = self._dataloaders[self._stage]
        return super().run()

    def run_epoch(self) -> None:
        """Train one epoch or the rest of one; begin its stage if need be."""
        stage = self.plan.stage_of(self._epoch)
        if stage != self._begun:
            self._begin(stage)
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train one batch."""
        self._freezer.hold()  # train() of the model, above or in a hook, has stirred what is frozen
        super().run_iter(idx, data_batch)

    def go_on_from(self, checkpoint: dict) -> None:
        """Enter the stage that a checkpoint was trained in last, whose optimiser its state fits.

        A checkpoint from the end of a stage belongs to that stage: the next one begins as in a run without pause.

        Raises:
            ValueError: As `resumption_point`.
        """
        stage, self._batches_done = resumption_point(checkpoint, self.plan)
        self._enter(stage)

    def _check_stages(self) -> None:
        """Set up every stage once: an error in the last one must not come after days of training."""
        with _only_errors_logged(self.runner.logger):
            for index, stage in enumerate(self.plan.stages):
                place = f'train_cfg.stages[{index}]'
                with _located(f'{place}.freeze'):
                    self._freezer.freeze(stage.freeze)
                override = f'{place}.optim_wrapper={stage.optim_wrapper} over ' if stage.optim_wrapper else ''
                with _located(f'{override}optim_wrapper'):
                    wrapper = self._build_optim_wrapper(index)
                with _located(f'{place}.param_scheduler={stage.param_scheduler}'):
                    self._build_schedulers(index, wrapper)

    def _build_optim_wrapper(self, index: int) -> OptimWrapper:
        return build_trainable_optim_wrapper(self._freezer.model, copy.deepcopy(self._optim_settings[index]))

    def _build_schedulers(self, index: int, wrapper: OptimWrapper) -> list:
        stage = self.plan.stages[index]
        return build_stage_schedulers(stage.schedulers(), wrapper, stage.epochs, self.plan.epoch_lengths[index])

    def _enter(self, index: int) -> None:
        """Set up a stage; its optimiser is clean."""
        self._freezer.freeze(self.plan.stages[index].freeze)
        if is_model_wrapper(self.runner.model):
            _wrap_again(self.runner)
        self.dataloader = self._dataloaders[index]
        self.runner.optim_wrapper = self._build_optim_wrapper(index)
        self.runner.param_schedulers = self._build_schedulers(index, self.runner.optim_wrapper)
        self._stage = index

    def _begin(self, index: int) -> None:
        """Begin a stage or go on within it; coming from another one, hand its state over."""
        runner, plan, before = self.runner, self.plan, self._stage
        if index != before:
            old = runner.optim_wrapper
            self._enter(index)
            scales = [self._optim_settings[stage].get('loss_scale') for stage in (before, index)]
            carry_state(old, runner.optim_wrapper, same_loss_scale=scales[0] == scales[1])
            if is_model_wrapper(runner.model):
                runner._maybe_compile('train_step')  # the wrapper is a new one
        self._dataloaders[:index] = [None] * index  # lets their workers end
        start, end = (plan.iteration_at(plan.ends[index] - left) for left in (plan.stages[index].epochs, 0))
        runner.optim_wrapper.initialize_count_status(runner.model, self._iter - start, end - start)
        runner.message_hub.update_scalar('train/stage', index + 1)
        runner.message_hub.update_info(RECORD, plan.until(index))
        runner.logger.info(self._describe(index))
        self._begun = index

    def _describe(self, index: int) -> str:
        stage, end, (trained, frozen) = self.plan.stages[index], self.plan.ends[index], self._freezer.count()
        lr = self.runner.optim_wrapper.defaults.get('lr')
        batch = f'{stage.batch_size}' + (f' x {self.runner.world_size}' if self.runner.distributed else '')
        return (
            f'stage {index + 1} of {len(self.plan.stages)}: epochs {end - stage.epochs + 1} to {end}, '
            f'{self.plan.epoch_lengths[index]} iterations each; initial learning rate {lr}, batch size {batch}; '
            f'{trained:,} parameters trained, {frozen:,} frozen' + f' ({", ".join(stage.freeze)})' * bool(stage.freeze)
        )


def _check_runner(runner, dataloader: dict) -> None:
    if not isinstance(dataloader, Mapping):
        raise ValueError(
            f'train_dataloader: is a {type(dataloader).__name__}; StagedTrainLoop needs its settings, a dict, to build '
            f'it with the batch size of each stage'
        )
    if not isinstance(runner.optim_wrapper, Mapping) or not isinstance(runner.optim_wrapper.get('optimizer'), Mapping):
        raise ValueError(
            "optim_wrapper: StagedTrainLoop needs the settings of one optimizer: dict(optimizer=dict(type='SGD', ...))"
        )
    if runner.param_schedulers is not None:
        raise ValueError(
            'param_scheduler: each stage of StagedTrainLoop has its own; set param_scheduler=None and give '
            'train_cfg.stages[...] a key lr_decay or param_scheduler'
        )


def _complete(stage: Stage, lr: float | None, batch_size: int) -> Stage:
    return replace(stage, lr=stage.lr or lr, batch_size=stage.batch_size or batch_size)


def _optim_settings(stages: Sequence[Stage], runner) -> list[dict]:
    """Settings of the optimiser of each stage, with its learning rate."""
    scales = lr_scales(stages, runner.auto_scale_lr, runner.world_size)
    settings = [merge_settings(runner.optim_wrapper, stage.optim_wrapper or {}) for stage in stages]
    for stage, scale, each in zip(stages, scales, settings, strict=True):
        if stage.lr is not None:
            each['optimizer']['lr'] = stage.lr * scale
    return settings


def _with_dataset_built_once(settings: Mapping) -> dict:
    """Settings of a dataloader that give the same dataset whenever they are built."""
    dataset = settings['dataset']
    if isinstance(dataset, Mapping):
        dataset = DATASETS.build(dataset)
    # A function, because settings are copied at any depth and a function is not.
    return {key: settings[key] for key in settings} | dict(dataset=dict(type=lambda: dataset))


def _build_dataloaders(runner, settings: dict, stages: Sequence[Stage]) -> list[DataLoader | None]:
    """Dataloaders of all stages, one for each batch size; workers start with the first epoch that needs them."""
    diff_rank_seed = runner._randomness_cfg.get('diff_rank_seed', False)
    built = {}
    for index, stage in enumerate(stages):
        if stage.batch_size not in built:
            each = settings | dict(batch_size=stage.batch_size)
            built[stage.batch_size] = runner.build_dataloader(each, runner.seed, diff_rank_seed)
        if len(built[stage.batch_size]) == 0:
            raise ValueError(
                f'train_cfg.stages[{index}].batch_size={stage.batch_size}: an epoch has no full batch; make it smaller '
                f'or set train_dataloader.drop_last=False'
            )
    return [built[stage.batch_size] for stage in stages]


def _wrap_again(runner) -> None:
    """Wrap the model anew: a wrapper waits for the parameters that were trainable when it was made."""
    wrapper = runner.model
    if not isinstance(wrapper, DistributedDataParallel) or isinstance(wrapper, MMSeparateDistributedDataParallel):
        raise ValueError(f'model_wrapper_cfg.type={type(wrapper).__name__}: stages need MMDistributedDataParallel')
    runner.model = wrapper.module
    del wrapper  # before the new one takes as much memory
    sync_bn = runner.cfg.get('sync_bn')
    if sync_bn is not None:
        runner.cfg.sync_bn = None  # the layers are converted already; a second time each would be replaced
    try:
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), runner.model)
    finally:
        if sync_bn is not None:
            runner.cfg.sync_bn = sync_bn


@contextmanager
def _located(place: str) -> Iterator[None]:
    """Name the setting in whatever error it causes."""
    try:
        yield
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{place}: {error.args[0] if error.args else error}') from error


@contextmanager
def _only_errors_logged(logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel('ERROR')
    try:
        yield
    finally:
        logger.setLevel(level)
