"""The tool on a quickstart, on planted mistakes, and where something is missing."""

import json

import pytest
import torch
from mmengine.config import Config

from mmext.common.preflight.run import CHECKS

CLASSIFIER = 'configs/classification/vit/vit-tiny-p4_1xb32-80e_sample-32x32.py'
SMALL = ['model.backbone.num_layers=1', 'val_dataloader.dataset.indices=8']


@pytest.fixture
def preflight(load_tool, in_root, tmp_path, capsys):
    tool = load_tool('preflight.py')

    def call(config: str, *arguments: str) -> tuple[int, dict, str]:
        status = tool.main([config, '--out', str(tmp_path / 'out'), *arguments])
        report = tmp_path / 'out' / 'preflight.json'
        return status, json.loads(report.read_text()) if report.is_file() else {}, ''.join(capsys.readouterr())

    return call


def found(report: dict, *statuses: str) -> list[str]:
    return sorted(finding['check'] for finding in report['findings'] if finding['status'] in statuses)


def test_quickstart_passes(preflight, tmp_path, monkeypatch):
    monkeypatch.setattr('mmext.common.preflight.run.SLOW_S', 1e9)  # however busy the machine
    state = torch.get_rng_state()
    status, report, text = preflight(CLASSIFIER, '--steps', '60', '--cfg-options', *SMALL)
    assert status == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert found(report, 'error', 'warning') == []
    assert set(CHECKS) == {finding['check'] for finding in report['findings']}
    messages = {finding['check']: finding['message'] for finding in report['findings'] if finding['status'] == 'pass'}
    assert 'ln 100 = 4.605' in messages['loss']
    assert messages['schedule'].startswith('1,280 iterations')
    assert (tmp_path / 'out' / 'learning_rate.png').stat().st_size > 5000
    assert 'no test-time augmentation' in text.replace('\n', ' ')
    assert '0 errors, 0 warnings' in text
    assert not (tmp_path / 'work_dirs').exists()


def test_five_mistakes_are_five_findings(preflight):
    planted = (
        *('model.head.num_classes=10', 'optim_wrapper.optimizer.lr=0.0', 'train_dataloader.batch_size=16'),
        *('default_hooks.checkpoint.save_best=accuracy/top3', 'train_cfg.val_interval=100'),
    )
    status, report, text = preflight(CLASSIFIER, '--cfg-options', *planted)
    assert status == 1
    assert found(report, 'error', 'warning') == ['lr', 'name-batch', 'num-classes', 'save-best', 'val-interval']
    assert found(report, 'not run') == sorted(set(CHECKS) - {'lint'})
    assert '3 errors, 2 warnings' in text
    assert not report['ok']


def test_missing_weights_are_an_error_and_the_rest_is_looked_at(preflight):
    skip = [word for name in ('overfit', 'gradients', 'schedule', 'forecast') for word in ('--skip', name)]
    status, report, _ = preflight(CLASSIFIER, *skip, '--cfg-options', 'load_from=nowhere.pth', *SMALL)
    assert status == 1
    assert found(report, 'error') == ['weights']
    assert found(report, 'pass') == ['lint', 'loss', 'padding']
    assert found(report, 'not run') == ['forecast', 'gradients', 'overfit', 'schedule']


def test_missing_data_are_an_error(preflight, tmp_path):
    options = ('train_dataloader.dataset.data_root=' + str(tmp_path / 'nowhere'), 'train_dataloader.dataset.download=0')
    status, report, _ = preflight(CLASSIFIER, '--cfg-options', *options)
    assert status == 1
    assert found(report, 'error') == ['data']
    assert found(report, 'pass') == ['lint']


def test_step_that_fails_is_an_error_that_names_itself(preflight):
    options = ('model.head.in_channels=64', *SMALL)  # the backbone gives 128
    skip = ('--skip', 'forecast', '--skip', 'padding')
    status, report, _ = preflight(CLASSIFIER, *skip, '--cfg-options', *options)
    assert status == 1
    assert 'model' in found(report, 'error')


def test_command_line_mistakes(preflight, tmp_path):
    status, _, text = preflight('configs/nothing.py')
    assert status == 1
    assert text.startswith('error: configs/nothing.py: no such config')
    with pytest.raises(SystemExit):
        preflight(CLASSIFIER, '--steps', '0')
    with pytest.raises(SystemExit):
        preflight(CLASSIFIER, '--skip', 'nothing')


def test_config_without_data_or_length(preflight, tmp_path):
    Config(dict(model=dict(type='ImageClassifier'), default_scope='mmpretrain')).dump(tmp_path / 'bare.py')
    status, report, _ = preflight(str(tmp_path / 'bare.py'))
    assert status == 1
    assert {'model', 'data'} <= set(found(report, 'error'))
