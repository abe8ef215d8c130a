"""The optimiser of one stage of training, and what it takes over from the stage before."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler, build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn
from torch.optim import Optimizer


def build_trainable_optim_wrapper(model: nn.Module, settings: dict) -> OptimWrapper:
    """Build an optimiser that knows the trainable parameters only.

    mmengine's constructor leaves frozen ones out only where ``paramwise_cfg`` is given.

    Args:
        model: Already frozen as wanted.
        settings: As ``optim_wrapper`` of a config.

    Raises:
        TypeError: The settings make several optimisers.
    """
    with _frozen_not_mentioned():
        wrapper = build_optim_wrapper(model, settings)
    if not isinstance(wrapper, OptimWrapper) or isinstance(wrapper, OptimWrapperDict):
        raise TypeError(f'optim_wrapper makes a {type(wrapper).__name__}; stages need an OptimWrapper of one optimizer')
    drop_frozen(wrapper.optimizer)
    return wrapper


@contextmanager
def _frozen_not_mentioned() -> Iterator[None]:
    """Keep mmengine from a warning about every single frozen parameter, which would bury the log."""

    def expected(record: logging.LogRecord) -> bool:
        return 'is skipped since its requires_grad=False' not in record.getMessage()

    logger = MMLogger.get_current_instance()
    logger.addFilter(expected)
    try:
        yield
    finally:
        logger.removeFilter(expected)


def drop_frozen(optimizer: Optimizer) -> None:
    """Remove parameters without gradient and groups that are left empty."""
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if not parameter.requires_grad:
                optimizer.state.pop(parameter, None)  # some optimisers fill it when they are built
        group['params'] = [parameter for parameter in group['params'] if parameter.requires_grad]
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group['params']]


def carry_state(old: OptimWrapper, new: OptimWrapper, same_loss_scale: bool = True) -> None:
    """Hand the state of an optimiser to its successor: moments of the parameters that both train, and the loss scale.

    An optimiser of another type starts clean; so do parameters that only the new one trains. What an optimiser keeps
    for a group rather than for a parameter is not handed on.

    Args:
        old: Of the stage that ends.
        new: Of the stage that begins; changed in place.
        same_loss_scale: Both were given the same setting of the loss scale for mixed precision.
    """
    if type(old.optimizer) is type(new.optimizer):
        for group in new.optimizer.param_groups:
            for parameter in group['params']:
                if parameter in old.optimizer.state:
                    new.optimizer.state[parameter] = old.optimizer.state[parameter]
    if same_loss_scale and hasattr(old, 'loss_scaler') and hasattr(new, 'loss_scaler'):
        new.loss_scaler.load_state_dict(old.loss_scaler.state_dict())


def build_stage_schedulers(
    settings: Sequence[dict], wrapper: OptimWrapper, epochs: int, epoch_length: int
) -> list[_ParamScheduler]:
    """Build schedulers whose time is that of the stage, also where they do not say when they end.

    Args:
        settings: Of mmengine's schedulers.
        wrapper: What they schedule.
        epochs: Length of the stage.
        epoch_length: Iterations an epoch.
    """
    schedulers = []
    for scheduler in settings:
        end = epochs if scheduler.get('by_epoch', True) else epochs * epoch_length
        defaults = dict(optimizer=wrapper, epoch_length=epoch_length)
        schedulers.append(PARAM_SCHEDULERS.build(dict(end=end) | scheduler, default_args=defaults))
    return schedulers
