"""Reads the configs that mmengine leaves in a run's folder, and tells how they differ from a recipe.

A dumped config is Python text of plain values. It is read as such: nothing in it is run.
"""

import ast
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

# What decides what is trained on what, and how it is scored; all else is bookkeeping or a name for other settings.
COMPARED = (
    *('model', 'data_preprocessor', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper'),
    *('param_scheduler', 'train_cfg', 'custom_hooks', 'load_from'),
)
# Settings at any depth that change how long something takes or how often something is looked at.
HARMLESS = {
    *('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'val_interval', 'val_begin'),
    *('loss_name', 'dynamic_intervals'),
}
# Hooks that look on.
OBSERVERS = {
    *('EpochLossesHook', 'ValLossHook', 'DetectionValLossHook', 'TrainAccuracyHook', 'RunSummaryHook', 'RunRecordHook'),
    *('InitialisationProofHook', 'StagePictureHook', 'SegPictureHook', 'DataHashHook', 'TrackerHook'),
}
# Where the data lie; said to be harmless by whoever knows that the same data lie elsewhere.
PLACES = {'data_root'}
# What a run that goes on from its own checkpoint leaves out.
INITIAL = {'init_cfg', 'pretrained', 'load_from', 'teacher_checkpoint'}
SAMPLES = 'data/samples'


class DumpError(ValueError):
    """A file that is no dumped config; the message names file, line and fix."""


def parse_dump(text: str, source: str | Path) -> dict[str, Any]:
    """The values of a dumped config by name.

    Args:
        text: Of the dump.
        source: File that it comes from, for errors.

    Raises:
        DumpError: it holds more than plain values.
    """
    found = {}
    try:
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                raise ValueError(f'line {node.lineno} is no plain value')
            found[node.targets[0].id] = _value(node.value)
    except (SyntaxError, RecursionError, ValueError, TypeError) as error:
        raise DumpError(f'{source}: no config that a run wrote ({error}); remove it or repeat the run') from error
    return found


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The values of a recipe with its bases.

    Raises:
        DumpError: it is missing, or fails.
    """
    try:
        # Its modules are not imported: that would take seconds, and none of them is needed.
        return Config.fromfile(path, import_custom_modules=False).to_dict()
    # A recipe is a program: what it raises is its own affair.
    except Exception as error:
        raise DumpError(f'{path}: cannot be read as a config ({error}); correct it') from error


def differences(
    ours: Mapping[str, Any], recipe: Mapping[str, Any], same_data: bool = False, resumed: bool = False
) -> list[str]:
    """Settings of a run that are not those of a recipe and may change its scores, one text each.

    Args:
        ours: Of the run.
        recipe: Of the recipe.
        same_data: The same data lie in another place: paths of their folder may differ.
        resumed: The run went on from its own checkpoint: initial weights may be missing.
    """
    ignored = HARMLESS | (PLACES if same_data else set()) | (INITIAL if resumed else set())
    pair = [dict(_flat(_compared(config), '', ignored)) for config in (ours, recipe)]
    names = sorted(name for name in pair[0].keys() | pair[1].keys() if not _same(*(one.get(name) for one in pair)))
    return [f'{name}: {_short(pair[0].get(name))}, not {_short(pair[1].get(name))}' for name in names]


def reads_samples(config: Mapping[str, Any]) -> bool:
    """Whether any setting of the data names the embedded samples."""
    loaders = {key: config.get(key) for key in ('train_dataloader', 'val_dataloader', 'test_dataloader')}
    return any(isinstance(value, str) and SAMPLES in value for _, value in _flat(loaders, '', set()))


def total_steps(config: Mapping[str, Any]) -> tuple[float | None, str]:
    """How long a training was to be, and its unit: 'epoch' or 'iteration'."""
    train = config.get('train_cfg') or {}
    stages = [stage.get('epochs') for stage in train.get('stages') or () if isinstance(stage, Mapping)]
    if stages and all(isinstance(epochs, int) for epochs in stages):
        return float(sum(stages)), 'epoch'
    if 'max_epochs' in train:
        return float(train['max_epochs']), 'epoch'
    return (float(train['max_iters']), 'iteration') if 'max_iters' in train else (None, 'iteration')


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        # Keys that are no names stand in a mapping of their own.
        given = [_value(argument) for argument in node.args]
        return dict(*given) | {word.arg: _value(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict):
        keys = (ast.literal_eval(key) for key in node.keys)
        return {key: _value(value) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name) and node.operand.id == 'inf':
        return -math.inf
    return ast.literal_eval(node)


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {key: config.get(key) for key in COMPARED}
    hooks = chosen['custom_hooks'] or []
    chosen['custom_hooks'] = [hook for hook in hooks if _type_of(hook) not in OBSERVERS]
    return chosen


def _type_of(node: Any) -> str:
    kind = node.get('type') if isinstance(node, Mapping) else node
    return str(kind).rsplit('.', 1)[-1]


def _flat(node: Any, name: str, ignored: set[str]) -> Iterator[tuple[str, Any]]:
    """Dotted name -> plain value of everything in a config; empty lists and mappings count as nothing."""
    entries = (
        node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else None
    )
    if entries is None:
        if node is not None:
            yield name, node
        return
    for key, value in entries:
        if key not in ignored:
            yield from _flat(value, f'{name}.{key}' if name else str(key), ignored)


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-12)
    # A class in a recipe is its dotted name in a dump.
    return ours == theirs or str(ours) == str(theirs)


def _short(value: Any) -> str:
    return 'nothing' if value is None else str(value)[:60]
