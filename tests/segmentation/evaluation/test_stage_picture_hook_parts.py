"""What StagePictureHook is made of, without a training."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from mmext.common.undisturbed import evaluating, random_state_kept
from mmext.segmentation.evaluation.stage_picture_hook import (
    StagePictureHook,
    choose_images,
    forget_later_maps,
    stage_titles,
)


def test_names_and_order_of_chosen_images():
    paths = ['/a/1.png', '/b/2.png', '/c/1.png', '/c/3.png']
    assert choose_images(paths, (), 2) == {'1': 0, '2': 1}
    assert choose_images(paths, (), 9) == {'1': 0, '2': 1, '3': 3}
    assert list(choose_images(paths, ('3', '2'), 1)) == ['3', '2']
    with pytest.raises(ValueError, match=r"'1' stands for two files .*: /a/1\.png and /c/1\.png"):
        choose_images(paths, ('1',), 1)


def test_titles():
    assert stage_titles((1, 6), 'epoch') == {1: 'epoch 1', 6: 'epoch 6'}
    assert stage_titles(dict(early=30), 'iteration') == {30: 'early (iteration 30)'}


@pytest.mark.parametrize('stages', [(), (0, 1), (3, 2), (2, 2), dict(a=4, b=1)])
def test_stages_must_rise(stages):
    with pytest.raises(ValueError, match='give rising numbers'):
        StagePictureHook(stages)


@pytest.mark.parametrize(('settings', 'message'), [(dict(mix=2), 'mix=2'), (dict(num_images=0), 'num_images=0')])
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        StagePictureHook(**settings)


def test_maps_of_later_stages_are_forgotten_and_others_files_are_not(tmp_path):
    for name in ('epoch_1/a.png', 'epoch_6/a.png', 'epoch_6/notes.txt', 'iteration_9/a.png', 'truth/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    forget_later_maps(tmp_path, 'epoch', 1)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.*'))
    assert left == ['epoch_1/a.png', 'epoch_6/notes.txt', 'iteration_9/a.png', 'truth/a.png']


def test_modes_come_back_even_after_an_error():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout()).train()
    model[0].eval()  # frozen
    seen = []

    def look() -> None:
        with evaluating(model):
            seen.extend(module.training for module in model.modules())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        look()
    assert seen == [False, False, False]
    assert [module.training for module in model.modules()] == [True, False, True]


def test_random_numbers_come_back():
    def draw() -> list[float]:
        return [random.random(), np.random.rand(), torch.rand(1).item()]  # noqa: NPY002

    with random_state_kept():
        inside = draw()
    assert draw() == inside


def test_registry_builds_it():
    from mmseg.registry import HOOKS

    hook = HOOKS.build(dict(type='StagePictureHook'))
    assert list(hook.stages) == [1, 6, 15]
