"""What a run writes down about itself."""

import json
import logging
from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS

from mmext.common.hooks.run_record_hook import RunRecordHook, data_hash


def runner_in(folder, config=None):
    log_dir = folder / 'work' / '20260101_120000'
    log_dir.mkdir(parents=True)
    cfg = SimpleNamespace(filename=config and str(config))
    return SimpleNamespace(
        cfg=cfg, seed=7, work_dir=str(log_dir.parent), log_dir=str(log_dir), logger=logging.getLogger('record')
    )


def test_the_record_holds_what_a_run_came_from(tmp_path, repository):
    runner = runner_in(tmp_path, repository / 'config.py')
    (tmp_path / 'work' / 'data_check.json').write_text('{"data_hash": "full:12"}')
    HOOKS.build(dict(type='RunRecordHook')).before_run(runner)
    record = json.loads((tmp_path / 'work' / '20260101_120000' / 'run.json').read_text())
    assert (record['seed'], record['data_hash'], record['dirty'], record['processes']) == (7, 'full:12', False, 1)
    assert record['config'] == str(repository / 'config.py')
    assert len(record['commit']) == 40
    assert record['threads'] >= 1
    assert {'python', 'torch', 'mmext'} <= record['versions'].keys()
    assert record['device']
    assert record['command']


@pytest.mark.parametrize('content', [None, '{', '[]', '{}', '{"data_hash": ""}'])
def test_no_hash(tmp_path, content):
    if content is not None:
        (tmp_path / 'data_check.json').write_text(content)
    assert data_hash(tmp_path) is None


def test_a_full_disk_stops_nothing(tmp_path, caplog):
    runner = runner_in(tmp_path)
    runner.log_dir = str(tmp_path / 'file' / 'below')
    (tmp_path / 'file').write_text('')
    RunRecordHook(repository=str(tmp_path)).before_run(runner)
    assert 'run.json was not written' in caplog.text
