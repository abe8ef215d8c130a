"""Turning checkpoints into safetensors and JSON: nothing plain is lost, nothing runs, and what is dropped is named."""

import hashlib
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import load_checkpoint

from mmext.common import checkpoint_trust
from mmext.common.checkpoints import read_checkpoint, use_safe_loading

CORPUS = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parent.with_name('common') / 'hostile_checkpoints.py')),
)


@pytest.fixture
def tool(load_tool, monkeypatch):
    monkeypatch.setattr(checkpoint_trust, '_trusted', set())
    return load_tool('prepare/scrub_checkpoint.py')


def content() -> dict:
    histories = {'loss': HistoryBuffer([1.5, 2.5], [1, 2]), 'acc': HistoryBuffer([float('nan')], [1])}
    return CORPUS.checkpoint(
        meta=dict(epoch=3, cfg='x = 1', dataset_meta=dict(classes=('a', 'b'), scales=np.arange(2.0))),
        message_hub=dict(log_scalars=histories, runtime_info=dict(best=np.float64(0.5)), resumed_keys={}),
        optimizer=dict(state={0: dict(step=torch.ones(1))}, param_groups=[dict(lr=0.1, betas=(0.9, 0.99))]),
        extra=b'bytes',
    )


def test_a_checkpoint_of_a_training(tmp_path, tool, capsys):
    source = tmp_path / 'w.pth'
    torch.save(content(), source)
    before = source.read_bytes()
    assert tool.main([str(source), '--out', str(tmp_path / 'new')]) == 0
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['w.json', 'w.safetensors']
    rest = json.loads((tmp_path / 'new' / 'w.json').read_text())
    meta = {'epoch': 3, 'dataset_meta': {'classes': ['a', 'b'], 'scales': [0.0, 1.0]}, 'cfg_text': 'x = 1'}
    assert rest['source'] == 'w.pth'
    assert rest['sha256'] == hashlib.sha256(before).hexdigest()
    assert rest['meta'] == meta
    assert rest['message_hub']['log_scalars']['loss'] == {'values': [1.5, 2.5], 'counts': [1, 2]}
    assert rest['message_hub']['log_scalars']['acc'] == {'values': ['nan'], 'counts': [1]}
    assert rest['message_hub']['runtime_info'] == {'best': 0.5}
    assert rest['optimizer'] == {'state': {'0': {}}, 'param_groups': [{'lr': 0.1, 'betas': [0.9, 0.99]}]}
    assert 'extra' not in rest
    read = read_checkpoint(tmp_path / 'new' / 'w.safetensors')
    assert read['meta'] == meta
    assert {name: value.tolist() for name, value in read['state_dict'].items()} == {
        'l.weight': [[1.0, 1.0]],
        'l.bias': [0.0],
    }
    shown = capsys.readouterr().out
    assert '2 tensors' in shown
    assert 'dropped: optimizer, 1 value that JSON cannot hold, first optimizer.state.0.step (Tensor)' in shown
    assert 'dropped: extra, 1 value that JSON cannot hold, first extra (bytes)' in shown
    assert source.read_bytes() == before


def test_the_weights_can_be_loaded_by_mmengine(tmp_path, tool):
    CORPUS.toy_runner(tmp_path / 'run').train()
    assert tool.main([str(tmp_path / 'run' / 'epoch_2.pth'), '--out', str(tmp_path / 'new.safetensors')]) == 0
    use_safe_loading()
    models = [CORPUS.Toy(), CORPUS.Toy()]
    load_checkpoint(models[0], str(tmp_path / 'run' / 'epoch_2.pth'), strict=True)
    found = load_checkpoint(models[1], str(tmp_path / 'new.safetensors'), strict=True)
    assert torch.equal(models[0].l.weight, models[1].l.weight)
    assert found['meta']['dataset_meta']['classes'] == ['a', 'b']
    runner = CORPUS.toy_runner(tmp_path / 'again', load_from=str(tmp_path / 'new.safetensors'))
    runner.load_or_resume()
    assert torch.equal(runner.model.l.weight, models[0].l.weight)


@pytest.mark.parametrize('wrapper', ['state_dict', 'model', None])
def test_bare_weights_and_those_of_other_tools(tmp_path, tool, wrapper, capsys):
    state = {'a': torch.ones(1, dtype=torch.float16), 'version': 3}
    torch.save(state if wrapper is None else {wrapper: state, 'epoch': 1}, tmp_path / 'w.pt')
    assert tool.main([str(tmp_path / 'w.pt'), '--out', str(tmp_path / 'new')]) == 0
    read = read_checkpoint(tmp_path / 'new' / 'w.safetensors')
    assert (list(read['state_dict']), read['state_dict']['a'].dtype) == (['a'], torch.float16)
    rest = json.loads((tmp_path / 'new' / 'w.json').read_text())
    assert (rest if wrapper is None else rest[wrapper])['version'] == 3
    assert 'dropped' not in capsys.readouterr().out


def test_a_hostile_file_needs_its_own_digest(tmp_path, tool, capsys):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['exec'].write(tmp_path, canary)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    arguments = [str(path), '--out', str(tmp_path / 'new')]
    assert tool.main(arguments) == 1
    assert 'refused, it holds the Python object exec. ' in capsys.readouterr().err
    assert tool.main([*arguments, '--trust-checkpoint', '0' * 64]) == 1
    assert digest in capsys.readouterr().err
    assert not CORPUS.harm(canary)
    assert not (tmp_path / 'new').exists()
    with pytest.raises(SystemExit):
        tool.main([*arguments, '--trust-checkpoint', 'none'])
    assert tool.main([*arguments, '--trust-checkpoint', digest]) == 0
    assert canary.exists()
    assert sorted(read_checkpoint(tmp_path / 'new' / 'w.safetensors')['state_dict']) == ['l.bias', 'l.weight']


def test_what_cannot_be_written(tmp_path, tool, capsys):
    torch.save({'epoch': 3}, tmp_path / 'none.pth')
    torch.save({'a': torch.ones(1)}, tmp_path / 'w.pth')
    (tmp_path / 'file').write_text('mine')
    cases = [
        ('none.pth', 'new', 'holds no tensors'),
        ('gone.pth', 'new', 'no such file'),
        ('w.pth', 'file', 'is a file. Fix: name a folder'),
        ('file', 'new', 'neither a torch checkpoint'),
    ]
    for source, out, message in cases:
        assert tool.main([str(tmp_path / source), '--out', str(tmp_path / out)]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f'error: {tmp_path}')
        assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'none.pth', 'w.pth']
    assert tool.main([str(tmp_path / 'w.pth'), '--out', str(tmp_path)]) == 0
    assert tool.main([str(tmp_path / 'w.safetensors'), '--out', str(tmp_path)]) == 1
    assert 'is the source itself' in capsys.readouterr().err


def test_a_full_disk_leaves_what_was_there(tmp_path, tool, capsys, monkeypatch):
    torch.save({'a': torch.ones(1)}, tmp_path / 'w.pth')
    assert tool.main([str(tmp_path / 'w.pth'), '--out', str(tmp_path / 'new')]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / 'new').iterdir()}
    torch.save({'a': torch.zeros(1)}, tmp_path / 'w.pth')

    def fail(path, data):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', fail)
    assert tool.main([str(tmp_path / 'w.pth'), '--out', str(tmp_path / 'new')]) == 1
    assert 'No space left' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / 'new').iterdir()} == before
