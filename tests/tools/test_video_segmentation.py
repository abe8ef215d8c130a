import csv
import json
import re
import signal
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from mmext.segmentation.inference import Segmenter
from mmext.segmentation.video.video_file import VideoFile

SMALL = [
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.decode_head.in_channels=[8,16,32,64]',
    'model.decode_head.channels=8',
    'test_dataloader.dataset.pipeline.1.scale=(160,64)',
]
QUICKSTART = 'configs/quickstart.py'

pytestmark = pytest.mark.usefixtures('in_root', 'mmseg_scope')


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('video_segmentation.py')


@pytest.fixture(scope='module')
def frames(sample) -> list[np.ndarray]:
    pictures = [cv2.imread(str(path)) for path in sorted((sample / 'training/image_2').glob('*.png'))[:3]]
    return [cv2.resize(picture, (160, 64)) for picture in pictures]


@pytest.fixture
def video(frames, tmp_path) -> str:
    """Nine lossless frames at 29.97 fps."""
    path = tmp_path / 'drive.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 160, 64, 'bgr0'
        for number in range(9):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[number // 3], format='bgr24')))
        container.mux(stream.encode())
    return str(path)


def test_two_models(tool, video, frames, tmp_path, capsys):
    out = tmp_path / 'out'
    models = ['--model', QUICKSTART, '--model', 'narrow', QUICKSTART, str(save_weights(tmp_path))]
    arguments = [video, *models, '--out', str(out), '--every', '3', '--frames', '1', '3', '--batch', '2']
    assert tool.main([*arguments, '--cfg-options', *SMALL]) == 0
    printed = capsys.readouterr()
    assert 'warning: quickstart has random weights' in printed.err
    assert '3 frames in' in printed.out
    names = ['class_shares.csv', 'comparison.mp4', 'contact_sheet.png', 'narrow_color.mp4', 'narrow_mix.mp4']
    names += ['quickstart_color.mp4', 'quickstart_mix.mp4', 'summary.json', 'timeline.png']
    assert sorted(path.name for path in out.iterdir()) == names
    with av.open(str(out / 'narrow_mix.mp4')) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.width, stream.height) == (Fraction(10000, 1001), 3, 160, 64)
    # The shares are those of the network on the same frames.
    with (out / 'class_shares.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    options = {'model.backbone.base_channels': 8, 'model.backbone.stem_channels': 8}
    options |= {'model.decode_head.in_channels': [8, 16, 32, 64], 'model.decode_head.channels': 8}
    options['test_dataloader.dataset.pipeline.1.scale'] = (160, 64)
    segmenter = Segmenter(QUICKSTART, cfg_options=options)
    for row, frame in zip([row for row in rows if row['model'] == 'quickstart'], frames, strict=True):
        (labels,) = segmenter([frame])
        shares = [float(row[name]) for name in segmenter.classes]
        # Frames went through the network in pairs, which may round differently.
        np.testing.assert_allclose(shares, np.bincount(labels.ravel(), minlength=19) / labels.size, atol=2e-3)


def save_weights(folder):
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS

    from mmext.common.running import drop_pretrained

    cfg = Config.fromfile(QUICKSTART)
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.decode_head.update(in_channels=[8, 16, 32, 64], channels=8)
    drop_pretrained(cfg)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, folder / 'w.pth')
    return folder / 'w.pth'


def test_ctrl_c_and_resume(tool, video, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    arguments = [video, '--model', 'a', QUICKSTART, str(save_weights(tmp_path)), '--out', str(out)]
    call, before = Segmenter.__init__, threading.active_count()

    class Slow(tool_models(tool)):
        def __call__(self, prepared):
            if not hasattr(self, 'done'):
                self.done = 0
            self.done += 1
            if self.done == 3:
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.5)
            return super().__call__(prepared)

    command = tool.run.__globals__
    with monkeypatch.context() as patched:
        patched.setitem(command, 'SegmenterModel', Slow)
        assert tool.main([*arguments, '--cfg-options', *SMALL]) == 130
    assert Segmenter.__init__ is call
    assert 'stopped after 3 frames, which can be played; --resume goes on' in capsys.readouterr().err
    with av.open(str(out / 'a_color.mp4')) as container:
        assert len(list(container.decode(video=0))) == 3
    assert tool.main([*arguments, '--resume', '--cfg-options', *SMALL]) == 0
    with av.open(str(out / 'a_color.mp4')) as container:
        assert len(list(container.decode(video=0))) == 9
    assert threading.active_count() <= before


def tool_models(tool):
    return tool.run.__globals__['SegmenterModel']


def test_a_video_that_is_cut_off(tool, video, tmp_path, capsys):
    content = (tmp_path / 'drive.mkv').read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(content[: len(content) * 6 // 10])
    out = tmp_path / 'out'
    assert (
        tool.main([str(tmp_path / 'cut.mkv'), '--model', QUICKSTART, '--out', str(out), '--cfg-options', *SMALL]) == 1
    )
    error = capsys.readouterr().err
    assert 'cut.mkv: reading stopped at frame 6 (second 0.17): cut off: it announces' in error
    assert f'{out} has the frames before' in error
    with av.open(str(out / 'comparison.mp4')) as container:
        assert len(list(container.decode(video=0))) == 5


def test_a_folder_with_mixed_precision(tool, frames, tmp_path):
    (tmp_path / 'in').mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / 'in' / f'{number}.png'), frame)
    out = tmp_path / 'out'
    arguments = [str(tmp_path / 'in'), '--model', QUICKSTART, '--out', str(out), '--amp', '--device', 'cpu']
    assert tool.main([*arguments, '--fps', '5', '--cfg-options', *SMALL]) == 0
    with av.open(str(out / 'quickstart_mix.mp4')) as container:
        assert (container.streams.video[0].average_rate, container.streams.video[0].frames) == (5, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nothing.mp4'], 'nothing.mp4: no such video, folder of pictures or number of a camera'),
        (['README.md'], 'README.md: reading stopped at frame 1 .*no video that can be read'),
        (['data/samples/kitti_seg', '--device', 'abacus'], '--device abacus: not on this machine'),
        (['data/samples/kitti_seg', '--resume', '--cfg-options', 'default_scope=x'], "default_scope is 'x'"),
    ],
)
def test_faults_are_one_line_and_write_nothing(tool, tmp_path, capsys, arguments, message):
    out = tmp_path / 'out'
    assert tool.main([arguments[0], '--model', QUICKSTART, '--out', str(out), *arguments[1:]]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    assert re.search(message, lines[0])
    assert not out.exists()


def test_output_among_the_input(tool, capsys):
    arguments = ['data/samples/kitti_seg', '--model', QUICKSTART, '--out', 'data/samples/kitti_seg/out']
    assert tool.main(arguments) == 1
    assert 'lies in the input folder' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--model', 'a', 'b', 'c', 'd'], 'expected'),
        (['--model', 'a', 'c.py', 'w.pth', '--model', 'A', 'c.py', 'w.pth'], 'a name of its own'),
        (['--model', 'a/b', 'c.py', 'w.pth'], 'must not hold /'),
        (['--model', 'c.py', '--fps', 'fast'], 'not a frame rate'),
        (['--model', 'c.py', '--fps', '0'], 'above 0'),
        (['--model', 'c.py', '--mix', '1.5'], 'between 0 and 1'),
        (['--model', 'c.py', '--every', '0'], 'at least 1'),
        (['--model', 'c.py', '--batch', '0'], 'at least 1'),
        (['--model', 'c.py', '--frames', '0'], 'at least 1'),
        ([], 'required: --model'),
    ],
)
def test_bad_options_are_refused(tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        tool.parse_args(['v.mp4', '--out', 'out', *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_names_of_models(tool):
    def names(*models):
        arguments = [value for model in models for value in ('--model', *model)]
        return [model.name for model in tool.parse_args(['v.mp4', '--out', 'out', *arguments]).model]

    assert names(['x/psp.py', 'a.pth'], ['B', 'b.py', 'b.pth'], ['c.py']) == ['psp', 'B', 'c']
    assert names(['psp.py', 'x/iter_1.pth'], ['psp.py', 'x/iter_2.pth']) == ['psp_iter_1', 'psp_iter_2']


def test_benchmark(load_tool, tmp_path, capsys, monkeypatch):
    benchmark = load_tool('benchmarks/video.py')
    monkeypatch.setattr(benchmark.torch, 'set_num_threads', lambda threads: None)
    path = tmp_path / 'b.json'
    arguments = ['--case', 'light', '--frames', '4', '--repeats', '1', '--no-demo', '--json', str(path)]
    assert benchmark.main(arguments) == 0
    assert 'agrees: label maps of the studio = those of the network alone' in capsys.readouterr().out
    found = json.loads(path.read_text())['light']
    assert set(found['seconds']) == {'network', 'studio', 'upstream'}
    assert found['ratio']['upstream'] == found['seconds']['upstream'][0] / found['seconds']['studio'][0]
    monkeypatch.setattr(benchmark, 'same_shares', lambda *arguments: False)
    assert benchmark.main([*arguments, '--case', 'light']) == 1
    assert 'DIFFERS' in capsys.readouterr().out


def test_benchmark_of_a_video_takes_its_first_frames(load_tool, tmp_path):
    benchmark = load_tool('benchmarks/video.py')
    whole, cut = tmp_path / 'whole.mp4', tmp_path / 'cut.mp4'
    benchmark.make_video(whole, 5, (48, 64))
    benchmark.cut_video(whole, cut, 3)
    first, second = (list(VideoFile(path).read()) for path in (whole, cut))
    assert len(second) == 3
    for before, after in zip(first, second, strict=False):  # encoded twice
        assert np.abs(before.picture.astype(int) - after.picture).mean() < 8
