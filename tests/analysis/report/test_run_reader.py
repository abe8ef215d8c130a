"""What a work dir tells of its run: whole, unfinished, resumed, with pieces missing, or no run at all."""

import json
import math

import pytest
import torch

from mmext.analysis.report.run_facts import score_of
from mmext.analysis.report.run_reader import NoRunError, read_all, read_run_facts
from mmext.analysis.run_curves import Curve

VALUES = {
    50: {'mIoU': 40.0, 'IoU.road': 60.0, 'val/loss': 1.5},
    100: {'mIoU': 38.5, 'IoU.road': 61.0, 'val/loss': 1.25},
}


def test_a_finished_run(make_run):
    run = read_run_facts(make_run('a', VALUES, seed=7))
    assert (run.label, run.config_name, run.status) == ('a', 'toy_1xb4-100i_roads-8x6', 'finished, 100 iterations')
    score = run.scores['mIoU']
    assert (score.last, score.last_at, score.best, score.best_at) == (38.5, 100, 40.0, 50)
    assert run.scores['loss'].best == 1.25
    assert 'time' not in run.scores
    assert (run.seed, run.commit, run.data_hash, run.notes) == ('7', '', '', ())
    assert run.environment['Python'] == '3.11.7'
    assert run.environment['processes'] == '1'
    assert not run.is_sample


def test_an_unfinished_run_and_one_that_has_only_begun(make_run):
    assert read_run_facts(make_run('a', {50: VALUES[50]}, last=50)).status == 'unfinished, 50 of 100 iterations'
    begun = make_run('b', {}, last=1)
    (start,) = (folder for folder in begun.iterdir() if folder.is_dir())
    (start / 'vis_data' / 'scalars.json').write_text('')
    log = start / f'{start.name}.log'
    log.write_text(log.read_text().replace('Saving checkpoint at 1 iterations', ''))
    run = read_run_facts(begun)
    assert run.status == 'nothing trained yet'
    assert run.curves is None
    assert any('no scalars' in note for note in run.notes)
    assert run.scores == {}


def test_a_resumed_run_is_one(make_run):
    make_run('a', {50: VALUES[50]}, last=60)
    path = make_run('a', {100: VALUES[100]}, {'resume': True}, time='20260102_120000')
    run = read_run_facts(path)
    assert run.finished
    assert [start.folder.name for start in run.trainings] == ['20260101_120000', '20260102_120000']
    assert run.scores['mIoU'].best_at == 50
    # One of its starts can be given alone.
    first = read_run_facts(path / '20260101_120000')
    assert first.scores['mIoU'].last_at == 50
    assert first.config_name == 'toy_1xb4-100i_roads-8x6'


def test_a_test_is_no_training(make_run):
    path = make_run('a', VALUES)
    folder = path / '20260103_120000'
    folder.mkdir()
    (folder / '20260103_120000.json').write_text('{"mIoU": 37.0, "IoU.road": 55.5, "time": 1.0}')
    log = "2026/01/03 12:00:00 - INFO - Config:\ndefault_scope = 'mmseg'\n2026/01/03 12:00:01 - Iter(test) [8/8]"
    (folder / '20260103_120000.log').write_text(log)
    run = read_run_facts(path)
    assert len(run.trainings) == 1
    tested = run.starts[-1]
    assert dict(tested.tested) == {'mIoU': 37.0, 'IoU.road': 55.5}
    # From the log, where no other copy is.
    assert tested.unit == '%'
    assert run.config['train_cfg']['max_iters'] == 100


def test_the_hash_of_the_data_is_found_wherever_it_is(make_run):
    path = make_run('a', VALUES)
    torch.save(
        {'meta': {'seed': 3, 'data_hash': {'train': 'x', 'all': 'full:weights'}}, 'state_dict': {}},
        path / 'iter_100.pth',
    )
    assert read_run_facts(path).data_hash == 'full:weights'
    (path / 'data_check.json').write_text('{"data_hash": "full:check"}')
    assert read_run_facts(path).data_hash == 'full:check'
    record = {'data_hash': 'full:record', 'commit': 'abc', 'dirty': True, 'seed': 9}
    (path / '20260101_120000' / 'run.json').write_text(json.dumps(record))
    run = read_run_facts(path)
    assert (run.data_hash, run.commit, run.seed) == ('full:record', 'abc with changes', '9')


def test_missing_and_broken_pieces_are_said(make_run):
    path = make_run('a', VALUES)
    start = path / '20260101_120000'
    (start / 'vis_data' / 'config.py').write_text('import os')
    (start / 'run.json').write_text('[1]')
    (path / 'iter_100.pth').write_bytes(b'PK broken')
    (path / 'data_check.json').write_text('{')
    run = read_run_facts(path)
    text = '\n'.join(run.notes)
    for part in ('no config that a run wrote', 'run.json: left out, it is no JSON object', 'iter_100.pth'):
        assert part in text
    assert run.status == '100 iterations, of how many is not recorded'
    assert run.score_unit == 'raw'
    (start / '20260101_120000.log').unlink()
    (start / 'vis_data' / 'scalars.json').unlink()
    run = read_run_facts(path)
    assert run.scores == {}
    assert 'no log' in '\n'.join(run.notes)
    assert 'no curves' in '\n'.join(run.notes)


def test_a_folder_that_is_no_run_is_one_error(tmp_path):
    (tmp_path / 'pictures').mkdir()
    with pytest.raises(NoRunError, match=r'pictures: no run; expected the work dir of tools/train\.py'):
        read_run_facts(tmp_path / 'pictures')
    with pytest.raises(NoRunError, match='missing: no such folder'):
        read_run_facts(tmp_path / 'missing')


def test_runs_are_read_once_and_told_apart(make_run):
    paths = [make_run('x/same', VALUES), make_run('y/same', VALUES)]
    assert [run.label for run in read_all([*paths, paths[0]])] == ['x/same', 'y/same']
    assert [run.label for run in read_all(paths[:1])] == ['same']
    assert read_all([]) == []


def test_scores_without_a_number():
    score = score_of('mIoU', Curve((1, 2, 3), (5.0, 7.0, math.nan)))
    assert math.isnan(score.last)
    assert (score.best, score.best_at) == (7.0, 2)
    assert math.isnan(score_of('x', Curve((1,), (math.nan,))).best)
    assert score_of('val/loss', Curve((1, 2), (5.0, 7.0))).best == 5.0
    # Of equal values the first.
    assert score_of('x', Curve((1, 2), (5.0, 5.0))).best_at == 1
