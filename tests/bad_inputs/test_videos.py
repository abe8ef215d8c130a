"""Videos where pictures are expected, and files that only claim to be videos."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=64, loss=dict(type='CrossEntropyLoss')))
test_dataloader = dict(dataset=dict(
    type='CustomDataset', data_root='nowhere',
    pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]))
"""


@pytest.fixture
def model(work) -> list[str]:
    """A config; what is no checkpoint shows that the inputs are looked at first."""
    (work / 'c.py').write_text(CONFIG)
    (work / 'w.pth').write_bytes(b'never read')
    return ['c.py', 'w.pth']


def video(suffix: str, code: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        name = f'v{suffix}'
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*code), 10, (32, 24))
        for shade in range(5):
            writer.write(np.full((24, 32, 3), 40 * shade, np.uint8))
        writer.release()
        assert (folder / name).stat().st_size
        return name

    return make


def write(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


MP4_HEAD = b'\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41'
SINGLE = [
    pytest.param(video('.mp4', 'mp4v'), id='mp4'),
    pytest.param(video('.avi', 'MJPG'), id='avi'),
    pytest.param(write('v.mp4', MP4_HEAD), id='mp4-cut-behind-its-head'),
    pytest.param(write('v.MOV', b''), id='empty-mov'),
    pytest.param(write('v.mkv', b'\x1aE\xdf\xa3' + bytes(99)), id='mkv-head'),
    pytest.param(write('v.webm', b'no video at all'), id='text-as-webm'),
]


@pytest.mark.parametrize('make', SINGLE)
@pytest.mark.parametrize('tool', ['predict.py', 'analysis/attention.py'])
def test_a_video_as_input(tool, make, model, work, refused):
    argv = model if tool == 'predict.py' else model[:1]
    name = make(work)
    refused(tool, [*argv, name, '--out', 'out'], rf'{name}: is a video', 'frames', 'ffmpeg|extract')


@pytest.mark.parametrize('make', SINGLE)
def test_a_folder_of_videos(make, model, work, refused):
    """Suffixes decide in folders: there is no picture in this one."""
    (work / 'in').mkdir()
    make(work / 'in')
    refused('predict.py', [*model, 'in', '--out', 'out'], 'in: no picture in it', 'known suffixes')


@pytest.mark.parametrize('make', SINGLE)
def test_a_video_to_compare_models(make, work, refused):
    name = make(work)
    argv = [name, '--model', 'a', 'c.py', '--out', 'out']
    refused('analysis/compare_models.py', argv, rf'{name}: no picture that can be used', 'leave it out')


def test_a_video_named_like_a_picture(work):
    from mmext.common.image_files import why_damaged
    from mmext.common.prediction.inputs import find_images

    video('.mp4', 'mp4v')(work)
    (work / 'v.mp4').rename(work / 'v.jpg')
    Image.new('RGB', (8, 8)).save(work / 'a.jpg')
    # Its name makes it an input; what it is, the decoder says.
    assert [path.name for path in find_images([work])] == ['a.jpg', 'v.jpg']
    assert why_damaged(work / 'v.jpg') == ''
    assert cv2.imread(str(work / 'v.jpg')) is None


@pytest.mark.parametrize('make', SINGLE)
def test_a_video_as_mask(make, work, refused):
    (work / 'masks').mkdir()
    make(work / 'masks')
    refused(
        'analysis/class_weights.py', ['masks', '--pattern', 'v.*', '--out', 'out'], r'masks/v\.\w+', 'cannot be read'
    )
