"""The frozen teacher of a distillation: settings, checks and weights."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmseg.registry import MODELS
from torch import nn

from mmext.common.checkpoints import use_safe_loading
from mmext.common.running import drop_pretrained, load_config


def model_settings(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model: those given, or `model` of a config file."""
    if isinstance(source, str | Path):
        source = load_config(str(source)).model
    return dict(source)


def check_preprocessing(student: Mapping | None, teacher: Mapping | None) -> None:
    """Raise `ValueError` where the teacher expects other inputs than the student gets: both see the same tensors."""
    if not (student and teacher):
        return
    for key in ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr'):
        ours, theirs = student.get(key), teacher.get(key)
        same = ours == theirs if None in (ours, theirs) else torch.equal(torch.tensor(ours), torch.tensor(theirs))
        if not same:
            raise ValueError(
                f"teacher: its data_preprocessor has {key}={theirs}, the student's has {ours}; "
                f'train the teacher with the same normalisation'
            )


def load_whole(model: nn.Module, path: str) -> None:
    """Load a checkpoint that must fill the model, auxiliary heads aside.

    Raises:
        CheckpointError: the file is no checkpoint, or holds more than data.
        ValueError: a tensor is missing or has another shape.
    """
    use_safe_loading()
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    tensors = {name.removeprefix('module.'): value for name, value in content.get('state_dict', content).items()}
    try:
        missing = model.load_state_dict(tensors, strict=False).missing_keys
    except RuntimeError as error:
        raise ValueError(f'{path}: does not fit the config of the teacher; {error}') from error
    missing = [name for name in missing if not name.startswith('auxiliary_head.')]
    if missing:
        raise ValueError(
            f'{path}: does not fit the config of the teacher; {len(missing)} tensors are missing, first {missing[0]}'
        )


def frozen_teacher(settings: Mapping[str, Any], checkpoint: str | None) -> nn.Module:
    """Builds the teacher in evaluation mode, without gradients; with random weights where no checkpoint is named.

    The random state of the caller is left as it was: a student starts alike with and without a teacher.
    """
    cfg = Config(dict(model=dict(settings)))
    drop_pretrained(cfg)
    with torch.random.fork_rng(devices=[]):
        teacher = MODELS.build(cfg.model)
    if checkpoint is None:
        print_log('teacher_checkpoint=None: the teacher has random weights', logger='current', level=logging.WARNING)
    else:
        load_whole(teacher, checkpoint)
    return teacher.requires_grad_(False).eval()
