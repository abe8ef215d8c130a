"""tools/train.py --tracker: the toy training from the command line to the tracker."""

import runpy
import sys
from pathlib import Path

import pytest

from mmext.common.kill_test import toy_task
from mmext.common.tracker_records import read_record

install = runpy.run_path(str(Path(__file__).parent.with_name('common') / 'tracker_fakes.py'))['install']


@pytest.fixture
def config(tmp_path) -> Path:
    cfg = toy_task('epoch')
    cfg.runner_type, cfg.train_cfg = 'KillTestRunner', dict(by_epoch=True, max_epochs=1, val_interval=1)
    path = tmp_path / 'toy.py'
    cfg.dump(str(path))
    return path


def test_a_training_is_recorded(config, tmp_path, load_tool, monkeypatch):
    fake = install(monkeypatch, tmp_path, 'wandb')
    tool, work_dir = load_tool('train.py'), tmp_path / 'street'
    arguments = [str(config), '--work-dir', str(work_dir), '--seed', '1', '--tracker', 'wandb']
    assert tool.main(arguments) == 0
    assert [(run['project'], run['name'], run['mode']) for run in fake.runs] == [('mmext', 'street', 'offline')]
    assert [point['iter'] for point in fake.points if 'loss' in point] == [1, 2, 3, 4, 5, 6]
    assert [(point['iter'], point['epoch']) for point in fake.points if 'score' in point] == [(6, 1)]
    assert list(work_dir.glob('*/vis_data/scalars.json'))
    first = read_record(work_dir, 'wandb').id
    assert tool.main([*arguments, '--resume', '--cfg-options', 'train_cfg.max_epochs=2']) == 0
    assert read_record(work_dir, 'wandb').id == first
    assert [point['iter'] for point in fake.points if 'loss' in point] == list(range(1, 13))


def test_without_the_option_no_tracker_is_asked(config, tmp_path, load_tool, monkeypatch):
    fake = install(monkeypatch, tmp_path, 'wandb')
    assert load_tool('train.py').main([str(config), '--work-dir', str(tmp_path / 'run')]) == 0
    assert not fake.runs
    assert not list(tmp_path.rglob('trackers.json'))


@pytest.mark.parametrize('tracker', ['wandb', 'mlflow', 'clearml'])
def test_a_missing_package_ends_the_tool(config, tmp_path, load_tool, monkeypatch, capsys, tracker):
    monkeypatch.setitem(sys.modules, tracker, None)
    assert load_tool('train.py').main([str(config), '--work-dir', str(tmp_path / 'run'), '--tracker', tracker]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f'error: --tracker {tracker}: ')
    assert f'pip install {tracker};' in line
    assert not (tmp_path / 'run').exists()


def test_an_unknown_tracker_is_no_option(load_tool, capsys):
    with pytest.raises(SystemExit):
        load_tool('train.py').main(['c.py', '--tracker', 'aim'])
    assert 'wandb' in capsys.readouterr().err
