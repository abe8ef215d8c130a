import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from mmext.analysis.speed import measure as module
from mmext.analysis.speed.measure import SpeedSettings, measure, why
from mmext.analysis.speed.records import read_speed_records
from mmext.analysis.speed.worker import main, settings_from


def test_settings_survive_json() -> None:
    settings = SpeedSettings('a.py', (1, 2), trusted=('0' * 64,), cost=(3, None, ('MACs: note',)))
    again = settings_from(json.dumps(asdict(settings)))
    assert again.shape_hw == (1, 2)
    assert again.cost == (3, None, ['MACs: note'])
    assert settings_from(json.dumps(asdict(SpeedSettings('a.py')))) == SpeedSettings('a.py')


@pytest.mark.parametrize(
    ('text', 'match'),
    [('', 'no `model` dict'), ("model = dict(type='A')", 'default_scope is None'), ('x = 1 / 0', 'division')],
)
def test_a_config_that_cannot_be_used_is_a_record_with_an_error(tmp_path: Path, text: str, match: str) -> None:
    config = tmp_path / 'config.py'
    config.write_text(text)
    file = tmp_path / 'speed.jsonl'
    assert main([json.dumps(asdict(SpeedSettings(str(config), (8, 8), batch=3))), str(file)]) == 0
    (record,) = read_speed_records(file)
    assert match in record.error
    assert (record.batch, record.shape_hw, record.network) == (3, (8, 8), None)


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text("default_scope = 'mmseg'\nmodel = dict(type='A')")
    record = measure(SpeedSettings(str(config), (8, 8), device='cuda:77'))
    assert record.error.startswith('--device cuda:77: not on this machine')
    assert '\n' not in record.error


def test_lack_of_memory_in_the_middle_is_an_error_and_keeps_what_was_known(tmp_path: Path, monkeypatch) -> None:
    config = tmp_path / 'config.py'
    config.write_text("default_scope = 'mmseg'\nmodel = dict(type='A', test_cfg=dict(mode='slide'))")

    def fail(record, *_) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(module, '_measured', fail)
    monkeypatch.setattr(module, 'versions', lambda toolbox: {})
    record = measure(SpeedSettings(str(config), (8, 8), device='cpu'))
    assert record.error.startswith('out of memory: ')
    assert record.error.endswith('try a smaller --shape or --batch')
    assert record.task == 'segmentation'
    assert record.device_name
    assert 'one pass over the whole shape' in record.notes[-1]


def test_reasons_in_one_line() -> None:
    assert why(ValueError('first\nsecond')) == 'ValueError: first'
    assert why(FileNotFoundError('a.py: no such file')) == 'a.py: no such file'
    assert why(KeyError()) == 'KeyError: no message'
    inductor = type('InductorError', (RuntimeError,), {'__module__': 'torch._inductor.exc'})
    assert why(inductor('No compiler'), compiled=True).startswith('--compile: No compiler; torch.compile needs')
    assert why(inductor('No compiler')) == 'InductorError: No compiler'
    error = RuntimeError('expected scalar type Float but found BFloat16')
    assert why(error, precision='bf16').startswith('--precision bf16: an operator of the model has none for it')
    assert why(error).startswith('RuntimeError: expected')
