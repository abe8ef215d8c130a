"""The command: inputs, outputs and exit status. What the numbers are, tests/common/test_prediction_*.py check."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=3),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64, loss=dict(type='CrossEntropyLoss')))
test_dataloader = dict(dataset=dict(
    type='CustomDataset', data_root='nowhere', metainfo=dict(classes=['cat', 'dog', 'eel']),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]))
"""
# The quickstart's network, narrower.
NARROW = {
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.decode_head.in_channels': [8, 16, 32, 64],
    'model.decode_head.channels': 8,
}


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('predict.py')


def save_random_weights(cfg: Config, path: Path) -> None:
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, path)


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> list[str]:
    """Config and checkpoint of a tiny classifier."""
    folder = tmp_path_factory.mktemp('model')
    (folder / 'c.py').write_text(CONFIG)
    save_random_weights(Config.fromfile(folder / 'c.py'), folder / 'w.pth')
    return [str(folder / 'c.py'), str(folder / 'w.pth')]


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Two pictures of one name in two folders, and a third."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ('photos/a/1.png', 'photos/b/1.png', 'photos/b/10.jpg'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(name)
    return Path('photos')


def document(out: str = 'out') -> dict:
    return json.loads(Path(out, 'predictions.json').read_text())


def files(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob('*') if path.is_file())


def test_a_folder(tool, model, photos, capsys):
    before = {path: path.read_bytes() for path in photos.rglob('*.*')}
    assert tool.main([*model, 'photos', '--out', 'out', '--batch', '2', '--csv', 'out/t.csv']) == 0
    names = ['a/1', 'b/1', 'b/10']
    assert [entry['name'] for entry in document()['images']] == names
    assert files('out') == ['pictures/a/1.png', 'pictures/b/1.png', 'pictures/b/10.jpg', 'predictions.json', 't.csv']
    assert (document()['config'], document()['checkpoint'], document()['classes']) == (*model, ['cat', 'dog', 'eel'])
    for entry in document()['images']:
        assert sum(entry['probabilities']) == pytest.approx(1)
    with Path('out/t.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['id'] for row in rows] == names
    assert [row['label'] for row in rows] == [entry['label_names'][0] for entry in document()['images']]
    assert {path: path.read_bytes() for path in photos.rglob('*.*')} == before
    printed = capsys.readouterr()
    assert 'holds 100.0% of the parameters' in printed.out
    assert 'out/predictions.json: 3 pictures' in printed.out
    assert 'warning' not in printed.err


def test_folder_pattern_and_list_give_the_same_records(tool, model, photos):
    Path('list.txt').write_text('photos/b/10.jpg\nphotos/a/1.png\nphotos/b/1.png\n')
    records = []
    for index, value in enumerate((['photos'], ['photos/*/*'], ['list.txt'], ['photos/b', 'photos/a/1.png'])):
        assert tool.main([*model, *value, '--out', f'out{index}', '--no-pictures']) == 0
        records.append(document(f'out{index}')['images'])
        assert files(f'out{index}') == ['predictions.json']
    assert all(record == records[0] for record in records)


def test_unreadable_files_are_listed_and_the_rest_is_done(tool, model, photos, capsys):
    Path('photos/a/0.png').touch()
    Path('photos/a/2.png').write_text('text')
    Path('photos/c.png').write_bytes(Path('photos/a/1.png').read_bytes()[:2000])
    assert tool.main([*model, 'photos', '--out', 'out', '--batch', '4']) == 1
    assert [entry['name'] for entry in document()['images']] == ['a/1', 'b/1', 'b/10']
    assert [entry['image'] for entry in document()['unreadable']] == [
        'photos/a/0.png',
        'photos/a/2.png',
        'photos/c.png',
    ]
    assert document()['complete'] is True
    error = capsys.readouterr().err
    assert 'error: 3 files could not be used:' in error
    assert 'photos/a/0.png: the file is empty' in error
    assert 'photos/c.png: damaged, cut off, or not a picture' in error


def test_a_second_run_replaces_the_first(tool, model, photos):
    assert tool.main([*model, 'photos', '--out', 'out']) == 0
    Path('photos/b/1.png').write_bytes(b'')
    assert tool.main([*model, 'photos', '--out', 'out']) == 1
    assert [entry['name'] for entry in document()['images']] == ['a/1', 'b/10']
    assert files('out/pictures') == ['a/1.png', 'b/10.jpg']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nothing', '--out', 'out'], 'error: nothing: no such file or folder'),
        (['photos', '--out', 'photos/out'], 'error: photos/out: lies in the input folder photos'),
        (['photos/*/1.png', '--out', 'out', '--csv', 'photos/a/1.png'], 'error: photos/a/1.png: is an input'),
        (['photos', '--out', 'out', '--device', 'abacus'], 'error: --device abacus: not on this machine'),
        (['photos', '--out', 'out', '--cfg-options', 'default_scope=x'], "default_scope is 'x'"),
    ],
)
def test_errors_are_one_line_and_write_nothing(tool, model, photos, capsys, arguments, message):
    before = files('.')
    assert tool.main([*model, *arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert files('.') == before


def test_a_video_is_for_the_tool_of_videos_where_there_is_one(tool, model, in_root, tmp_path, capsys):
    video = tmp_path / 'drive.mp4'
    video.touch()
    assert tool.main([*model, str(video), '--out', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert f'error: {video}: is a video; take its frames out first' in error
    assert 'video_segmentation' not in error, 'it takes no classifiers'
    segmentor = ['configs/quickstart.py', 'w.pth']
    assert tool.main([*segmentor, str(video), '--out', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert f'python tools/video_segmentation.py {video} --model {" ".join(segmentor)} --out' in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / 'out').exists()


def test_a_missing_head_is_a_warning(tool, model, photos, capsys, tmp_path):
    content = torch.load(model[1])
    content['state_dict'].pop('head.fc.weight')
    torch.save(content, 'w.pth')
    assert tool.main([model[0], 'w.pth', 'photos', '--out', 'out', '--no-pictures']) == 0
    assert 'warning: 1 tensors are not in it and stay random: head.fc.weight' in capsys.readouterr().err


@pytest.mark.parametrize('arguments', [['--batch', '0'], ['--workers', '0'], ['--score-thr', 'high']])
def test_bad_options_are_refused(tool, arguments):
    with pytest.raises(SystemExit) as error:
        tool.parse_args(['c.py', 'w.pth', 'photos', '--out', 'out', *arguments])
    assert error.value.code == 2


def test_ctrl_c_keeps_what_is_done(tool, model, photos, capsys, monkeypatch):
    call, seen = tool.Predictor.__call__, []

    def stop(self, batch):
        seen.append(batch)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return call(self, batch)

    monkeypatch.setattr(tool.Predictor, '__call__', stop)
    assert tool.main([*model, 'photos', '--out', 'out']) == 130
    assert 'stopped; out has what was done until then' in capsys.readouterr().err
    assert (document()['complete'], [entry['name'] for entry in document()['images']]) == (False, ['a/1', 'b/1'])


def test_segmentation_with_a_config_of_the_project(tool, in_root, sample, tmp_path, capsys):
    from mmext.common.running import drop_pretrained

    cfg = Config.fromfile('configs/quickstart.py')
    cfg.merge_from_dict(NARROW)
    drop_pretrained(cfg)
    save_random_weights(cfg, tmp_path / 'w.pth')
    options = [f'{key}={value}'.replace(' ', '') for key, value in NARROW.items()]
    images = sorted((sample / 'training/image_2').glob('*.png'))[:2]
    out = tmp_path / 'out'
    arguments = ['configs/quickstart.py', str(tmp_path / 'w.pth'), *map(str, images), '--out', str(out), '--batch', '2']
    assert tool.main([*arguments, '--cfg-options', *options]) == 0
    assert document(out)['classes'][0] == 'road'
    for entry, path in zip(document(out)['images'], images, strict=True):
        with Image.open(out / entry['label_map']) as labels, Image.open(path) as image:
            assert labels.size == image.size
            counts = np.bincount(np.asarray(labels).ravel())
        assert dict(zip(entry['labels'], entry['shares'], strict=True)) == {
            label: pytest.approx(count / counts.sum(), abs=1e-6) for label, count in enumerate(counts) if count
        }
        assert (out / entry['picture']).is_file()


@pytest.mark.slow
def test_no_toolbox_is_imported_before_the_config_is_known(root):
    code = (
        'import runpy, sys\n'
        'runpy.run_path(sys.argv[1])\n'
        'assert not {"mmseg", "mmdet", "mmpretrain"} & set(sys.modules)\n'
    )
    command = [sys.executable, '-c', code, str(root / 'tools/predict.py')]
    done = subprocess.run(command, env={**os.environ, 'PYTHONPATH': str(root)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
