"""Rules for convolutions and batch norms, which most networks consist of, and sizes read off by majority."""

import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from mmext.common.weight_conversion import Rule, Shape, constant_rule

COUNTER = 'num_batches_tracked'


def conv_rules(old: str, new: str, shape: Shape, bias: bool = False) -> list[Rule]:
    """A convolution of another name; `shape` is that of its weight, outputs first."""
    rules = [Rule(f'{new}.weight', {f'{old}.weight': shape})]
    return [*rules, Rule(f'{new}.bias', {f'{old}.bias': shape[:1]})] if bias else rules


def batch_norm_rules(old: str, new: str, width: int, state_dict: Mapping[str, Tensor]) -> list[Rule]:
    """A batch norm of another name; its counter of training steps, which old torch versions lack, becomes 0."""
    parts = ('weight', 'bias', 'running_mean', 'running_var')
    rules = [Rule(f'{new}.{part}', {f'{old}.{part}': (width,)}) for part in parts]
    if f'{old}.{COUNTER}' in state_dict:
        return [*rules, Rule(f'{new}.{COUNTER}', {f'{old}.{COUNTER}': ()})]
    return [*rules, constant_rule(f'{new}.{COUNTER}', (), 0, 'counter of training steps', torch.int64)]


def conv_bn_rules(old: str, new: str, shape: Shape, state_dict: Mapping[str, Tensor], first: int = 0) -> list[Rule]:
    """An `nn.Sequential` of convolution, batch norm, ... -> mmcv's `ConvModule`.

    Args:
        old: Name of the sequence.
        new: Name of the `ConvModule`.
        shape: Of the convolution's weight.
        state_dict: The source.
        first: Place of the convolution in the sequence.
    """
    norm = batch_norm_rules(f'{old}.{first + 1}', f'{new}.bn', shape[0], state_dict)
    return conv_rules(f'{old}.{first}', f'{new}.conv', shape) + norm


def majority_width(state_dict: Mapping[str, Tensor], pattern: str, default: int) -> int:
    """First side of most of the tensors whose whole name fits `pattern`; `default` if there is none.

    Majority, not a single telling tensor: a damaged one must show as wrong, not change the size of the network.
    """
    sides = [t.shape[0] for name, t in state_dict.items() if t.ndim and re.fullmatch(pattern, name)]
    return Counter(sides).most_common(1)[0][0] if sides else default


def blocks_of(state_dict: Mapping[str, Tensor], stage: str) -> int:
    """One more than the highest number of a block of `stage`: names are `<stage>.<number>...`; 0 if there is none."""
    numbers = [found[1] for name in state_dict if (found := re.match(rf'{re.escape(stage)}\.(\d+)\.', name))]
    return max(map(int, numbers), default=-1) + 1
