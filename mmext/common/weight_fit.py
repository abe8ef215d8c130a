"""Whether the tensors of a checkpoint are those of a model: mmengine loads what fits and only logs the rest.

A checkpoint of another network, or one whose training diverged, is then evaluated without a word.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from mmext.common.weight_files import WeightsError

# A checkpoint that fills less of the model than this belongs to another one.
LEAST_SHARE = 0.5


class Fit(NamedTuple):
    """What a checkpoint holds of a model.

    Attributes:
        share: Part of the model's parameters and statistics, counted in numbers, that is there in the right shape.
        tensors: How many the model has.
        missing: Names of those that are not there.
        non_finite: Name of the first tensor with NaN or infinite values, of those that fit; None if there is none.
    """

    share: float
    tensors: int
    missing: list[str]
    non_finite: str | None


def weight_fit(model: nn.Module, content: Mapping[str, Any]) -> Fit:
    """Compare a checkpoint as it was read, or its ``state_dict`` alone, with a model; its wrapper is looked through.

    Tensors of whole numbers are counters of training steps and do not count.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    state = content.get('state_dict', content)
    there = {re.sub(r'^module\.', '', name): tensor for name, tensor in state.items() if torch.is_tensor(tensor)}
    wanted = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    missing = [name for name, tensor in wanted.items() if name not in there or there[name].shape != tensor.shape]
    numbers = sum(tensor.numel() for tensor in wanted.values())
    share = 1 - sum(wanted[name].numel() for name in missing) / max(numbers, 1)
    fitting = ((name, there[name]) for name in wanted.keys() - set(missing))
    spoilt = sorted(name for name, tensor in fitting if not tensor.is_meta and not torch.isfinite(tensor).all())
    return Fit(share, len(wanted), missing, spoilt[0] if spoilt else None)


def check_fit(model: nn.Module, content: Mapping[str, Any], path: str | Path, least_share: float = LEAST_SHARE) -> Fit:
    """`weight_fit`, raising where the checkpoint cannot be meant.

    Args:
        model: Built.
        content: What the file holds.
        path: The file, for the message.
        least_share: Share of the model that must be there; 0 asks for one tensor.

    Raises:
        WeightsError: too little of the model, or NaN or infinite values.
    """
    fit = weight_fit(model, content)
    if fit.share < least_share or (fit.missing and fit.share == 0):
        raise WeightsError(
            f'{path}: only {fit.share:.1%} of the parameters ({fit.tensors - len(fit.missing)} of {fit.tensors} '
            f'tensors) fit the model, {fit.missing[0]} for one does not; give the checkpoint that was trained with '
            'this config'
        )
    if fit.non_finite is not None:
        raise WeightsError(
            f'{path}: values of {fit.non_finite} are NaN or infinite, and so would be all outputs; take a checkpoint '
            'from before the training diverged'
        )
    return fit
