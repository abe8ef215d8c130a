from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmext.analysis.speed import timing
from mmext.analysis.speed.measure import time_path
from mmext.analysis.speed.records import STAGES
from mmext.analysis.speed.subject import Subject, fixed_size, picture_files, render_noise
from mmext.analysis.speed.timing import StageClock


class ToySegmentor(nn.Module):
    """Stands for one of mmseg's: the same methods, none of its imports."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)
        self.seen: list[Tensor] = []

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        assert not training
        return {'inputs': torch.stack(data['inputs']).float(), 'data_samples': data['data_samples']}

    def encode_decode(self, images: Tensor, metas: list[dict]) -> Tensor:
        assert len(metas) == len(images)
        self.seen.append(images)
        self.output = self.convolution(images)
        return self.output

    def postprocess_result(self, logits: Tensor, samples: list) -> list:
        return [SimpleNamespace(pred_sem_seg=one.argmax(0)) for one in logits]

    def forward(self, inputs: Tensor, data_samples: list, mode: str) -> list:
        assert mode == 'predict'
        return self.postprocess_result(self.encode_decode(inputs, [{}] * len(inputs)), data_samples)


def toy(**settings) -> tuple[ToySegmentor, Subject]:
    model = ToySegmentor().eval()
    prepare = lambda picture: {'inputs': torch.from_numpy(picture).permute(2, 0, 1), 'data_samples': None}  # noqa: E731
    return model, Subject(model, 'mmseg', cv2.imread, prepare, **settings)


def test_the_network_alone_sees_the_batch_without_gradients() -> None:
    model, subject = toy()
    subject.network(subject.images(2, (8, 12)))
    assert model.seen[0].shape == (2, 3, 8, 12)
    assert model.output.dtype == torch.float32
    assert model.output.is_inference()
    assert torch.equal(subject.images(2, (8, 12)), model.seen[0])


def test_other_precisions_come_by_autocast_and_leave_the_weights() -> None:
    model, subject = toy(precision='bf16')
    subject.network(subject.images(1, (8, 8)))
    assert model.output.dtype == torch.bfloat16
    assert model.convolution.weight.dtype == torch.float32


def test_channels_last_is_for_weights_and_images_of_both_ways(tmp_path: Path) -> None:
    model, subject = toy(channels_last=True)
    subject.network(subject.images(1, (8, 8)))
    subject.path(render_noise(tmp_path, (8, 8), 1), StageClock(lambda: None))
    assert model.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert [images.is_contiguous(memory_format=torch.channels_last) for images in model.seen] == [True, True]


def test_compiling_replaces_the_call_that_both_ways_make(monkeypatch, tmp_path: Path) -> None:
    calls = []

    def compile_(function):
        return lambda *args: calls.append(1) or function(*args)

    monkeypatch.setattr(torch, 'compile', compile_)
    _, subject = toy(compiled=True)
    subject.network(subject.images(1, (8, 8)))
    subject.path(render_noise(tmp_path, (8, 8), 1), StageClock(lambda: None))
    assert len(calls) == 2


def test_the_path_gives_results_and_its_stages_add_up(tmp_path: Path) -> None:
    model, subject = toy()
    files = render_noise(tmp_path, (64, 64), 3)
    total, stages, _ = time_path(subject, files, batch=2, repeats=4)
    assert len(total) == 4
    assert tuple(stages) == STAGES
    assert all(len(seconds) == 4 and min(seconds) > 0 for seconds in stages.values())
    for place, seconds in enumerate(total):
        # What is left is the work between the stages.
        assert sum(stages[name][place] for name in STAGES) <= seconds
    result = subject.path(files[:1], StageClock(lambda: None))
    wanted = model.convolution(torch.from_numpy(cv2.imread(files[0])).permute(2, 0, 1)[None].float())[0].argmax(0)
    assert torch.equal(result[0][0], wanted)


def test_postprocessing_inside_of_the_model_is_told_from_the_network(tmp_path: Path, monkeypatch) -> None:
    now = [0.0]

    def works(seconds: float, result) -> object:
        now[0] += seconds
        return result

    monkeypatch.setattr(timing, 'time', SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(ToySegmentor, 'postprocess_result', lambda self, logits, _: works(5.0, [None for _ in logits]))
    monkeypatch.setattr(ToySegmentor, 'encode_decode', lambda self, images, _: works(2.0, images))
    _, subject = toy()
    total, stages, _ = time_path(subject, render_noise(tmp_path, (8, 8), 1), batch=1, repeats=2)
    assert stages == {'decode': [0, 0], 'preprocess': [0, 0], 'network': [2, 2], 'postprocess': [5, 5]}
    assert total == [7, 7]


def test_a_model_without_a_known_part_is_timed_all_the_same() -> None:
    model = nn.Conv2d(3, 2, 1)
    subject = Subject(model, None, cv2.imread, lambda picture: {})
    assert not subject.watch_postprocess(StageClock(lambda: None))
    subject.network(subject.images(1, (4, 4)))


def test_a_fixed_size_replaces_all_that_changes_it() -> None:
    steps = Config(
        dict(
            steps=[
                dict(type='LoadImageFromFile', color_type='color'),
                dict(type='mmpretrain.ResizeEdge', scale=256),
                dict(type='CenterCrop', crop_size=224),
                dict(type='PackInputs'),
            ]
        )
    ).steps
    resize = dict(type='Resize', scale=(30, 20), keep_ratio=False)
    assert fixed_size(steps, (20, 30)) == [steps[0], resize, steps[3]]
    assert fixed_size(steps[3:], (20, 30)) == [dict(type='LoadImageFromFile'), resize, steps[3]]
    assert fixed_size([], (20, 30)) == [dict(type='LoadImageFromFile'), resize]


def test_noise_is_the_same_every_time_and_as_large_as_asked(tmp_path: Path) -> None:
    first, second = (render_noise(folder, (20, 30), 2) for folder in (tmp_path, tmp_path))
    assert first == second
    pictures = [cv2.imread(file) for file in first]
    assert pictures[0].shape == (20, 30, 3)
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50
    assert picture_files(tmp_path) == first


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(FileNotFoundError, match='no pictures in it'):
        picture_files(tmp_path)
    with pytest.raises(FileNotFoundError, match='--images'):
        picture_files(tmp_path / 'none')
