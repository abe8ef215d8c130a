"""Reading checkpoints: what mmengine writes comes back as it was, the rest is refused, and trust is for one file."""

import argparse
import hashlib
import logging
import pickle
import random
import runpy
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from safetensors.torch import save_file

from mmext.common import checkpoint_trust, checkpoints
from mmext.common.checkpoints import CheckpointError, add_trust_option, apply_trust, read_checkpoint, trust
from mmext.common.weight_files import WeightsError, write_state_dict

CORPUS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('hostile_checkpoints.py'))))


@pytest.fixture(autouse=True)
def _trusts_nothing(monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_trust, '_trusted', set())


@pytest.fixture
def log(monkeypatch) -> list[str]:
    """What is written into mmengine's log."""
    lines = []
    monkeypatch.setattr(checkpoint_trust, 'print_log', lambda text, logger, level=logging.INFO: lines.append(text))
    return lines


def same(one, other) -> bool:
    """Equal in value and type at any depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        keys = list(one) == list(other) and all(type(a) is type(b) for a, b in zip(one, other, strict=True))
        return keys and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, HistoryBuffer):
        return all(map(same, one.data, other.data)) and one.max_length == other.max_length
    return one == other or (one != one and other != other)


def both(content, path: Path, zipped: bool = True):
    """The content as it is read here, and as full unpickling gives it."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return read_checkpoint(path), torch.load(path, weights_only=False)


# ---- what is read


@pytest.mark.parametrize('zipped', [True, False])
def test_checkpoint_of_a_training(tmp_path, zipped):
    """As mmengine's Runner writes it, with the states of all its parts."""
    runner = CORPUS.toy_runner(tmp_path / 'run')
    runner.train()
    whole = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=False)
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= set(whole)
    assert callable(whole['param_schedulers'][0]['anneal_func'])
    if not zipped:
        torch.save(whole, tmp_path / 'run' / 'epoch_2.pth', _use_new_zipfile_serialization=False)
    read = read_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    # these texts are what mmengine would run
    whole['meta']['cfg_text'] = whole['meta'].pop('cfg')
    whole['message_hub']['runtime_info'].pop('cfg', None)
    whole['message_hub']['resumed_keys'].pop('cfg', None)
    assert same(read, whole)
    assert Path(read['message_hub']['runtime_info']['best_ckpt']).name == 'best_acc_epoch_1.pth'
    assert read['state_dict']._metadata == whole['state_dict']._metadata
    assert read['message_hub']['log_scalars']['train/loss'].mean() == runner.message_hub.get_scalar('train/loss').mean()
    random_reads = [read_checkpoint(tmp_path / 'run' / 'epoch_2.pth') for _ in range(2)]
    assert same(*random_reads)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('kind', ['b1', 'i1', 'u2', 'i8', 'u8', 'f2', 'f4', 'f8', 'c16', 'S3', 'U4', '>f4', '>U2'])
def test_arrays_and_numbers(tmp_path, kind, zipped):
    values = np.array([0, 1, 1, 0, 1, 0]).astype(kind)
    content = {'row': values, 'table': values.reshape(2, 3), 'columns': np.asfortranarray(values.reshape(2, 3))}
    content |= {'none': values[:0], 'one': values[1], 'point': np.array(values[2]), 'strided': values[::2]}
    assert same(*both(content, tmp_path / 'w.pth', zipped))


def test_other_plain_values(tmp_path):
    content = {
        'none': None,
        1: [True, -3, 1 << 200, 2.5, float('nan'), 1j, 'text', b'bytes', b'', (), [], {}],
        'numbers': (np.float64(0.5), np.int64(3), np.bool_(True), np.str_('text'), np.str_(''), np.float32('inf')),
        np.int64(2): {(1, (2, np.float64(3))): 'key'},
        'sets': {1, 2},
        'counter': Counter('abca'),
        'size': torch.Size([1, 2]),
        'kinds': [torch.float16, torch.device('cpu')],
        'parameter': torch.nn.Parameter(torch.ones(2)),
        'config': ConfigDict(a=dict(b=[1, dict(c=2)])),
        'random': [random.Random(0).getstate(), np.random.RandomState(0).get_state(), torch.get_rng_state()],
        'bits': np.random.default_rng(0).bit_generator.state,
    }
    read, whole = both(content, tmp_path / 'w.pth')
    assert same(read, whole)
    assert read['config'].a.b[1].c == 2
    assert isinstance(read['parameter'], torch.nn.Parameter)


@pytest.mark.parametrize('core', ['core', '_core'])
def test_names_of_numpy_1_and_2(tmp_path, core):
    content = {'array': np.arange(3), 'number': np.float32(2)}
    torch.save(content, tmp_path / 'w.pth', _use_new_zipfile_serialization=False)
    data = (tmp_path / 'w.pth').read_bytes()
    assert b'cnumpy._core.multiarray\n' in data or b'cnumpy.core.multiarray\n' in data
    for name in ('_core', 'core'):
        data = data.replace(f'cnumpy.{name}.m'.encode(), f'cnumpy.{core}.m'.encode())
    (tmp_path / 'w.pth').write_bytes(data)
    assert same(read_checkpoint(tmp_path / 'w.pth'), content)


def test_shared_numbers_stay_shared(tmp_path):
    tensor, values = torch.arange(6.0), [1, 2]
    torch.save({'a': tensor, 'b': tensor[2:], 'c': values, 'd': values}, tmp_path / 'w.pth')
    read = read_checkpoint(tmp_path / 'w.pth')
    read['a'][2] = 9
    assert read['b'][0] == 9
    assert read['c'] is read['d']


def test_every_schedule_of_mmengine(tmp_path):
    """Their states are saved attribute by attribute, functions included."""
    settings = {
        'OneCycleParamScheduler': dict(eta_max=1.0, total_steps=9),
        'ConstantParamScheduler': {},
        'CosineAnnealingParamScheduler': dict(T_max=5),
        'CosineRestartParamScheduler': dict(periods=[2, 3], restart_weights=[1, 0.5], eta_min=0),
        'ExponentialParamScheduler': dict(gamma=0.9),
        'LinearParamScheduler': {},
        'MultiStepParamScheduler': dict(milestones=[2, 3]),
        'PolyParamScheduler': {},
        'ReduceOnPlateauParamScheduler': dict(monitor='loss'),
        'StepParamScheduler': dict(step_size=2),
    }
    states = {}
    for name, arguments in settings.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
        part = dict(type=name, param_name='lr', optimizer=OptimWrapper(optimizer), **arguments)
        states[name] = PARAM_SCHEDULERS.build(part).state_dict()
    assert same(*both(states, tmp_path / 'w.pth'))


def test_safetensors(tmp_path):
    tensors = {'b': torch.ones(2), 'a': torch.arange(3)}
    write_state_dict(
        tmp_path / 'w.safetensors', tensors, {'epoch': 3, 'cfg': 'text', 'dataset_meta': {'classes': ['x']}}
    )
    read = read_checkpoint(tmp_path / 'w.safetensors')
    assert read['meta'] == {'epoch': 3, 'cfg_text': 'text', 'dataset_meta': {'classes': ['x']}}
    assert same(dict(sorted(read['state_dict'].items())), dict(sorted(tensors.items())))
    for number, meta in enumerate(({}, {'meta': '[' * 10_000}, {'meta': '[1]'}, {'meta': 'no JSON'})):
        save_file(tensors, tmp_path / f'{number}.bin', meta)
        assert read_checkpoint(tmp_path / f'{number}.bin')['meta'] == {}


def test_tensors_go_where_they_are_sent(tmp_path):
    torch.save({'state_dict': {'a': torch.ones(2)}}, tmp_path / 'w.pth')
    save_file({'a': torch.ones(2)}, tmp_path / 'w.safetensors')
    for device in ('cpu', None, torch.device('cpu'), lambda storage, location: storage):
        for name in ('w.pth', 'w.safetensors'):
            assert read_checkpoint(tmp_path / name, device)['state_dict']['a'].device.type == 'cpu'


# ---- what is refused


class Odd:
    pass


@pytest.mark.parametrize(
    ('value', 'reason'),
    [
        (Path('x'), 'pathlib'),
        (Odd(), 'Odd'),
        (np.array([None]), "NumPy array of type 'O8'"),
        (np.array(['2026-01-01'], 'M8[D]'), "NumPy array of type 'M8'"),
        (np.zeros(2, [('a', 'f4')]), "NumPy array of type 'V4'"),
        (torch.eye(2).to_sparse(), 'layout'),
        (np.ndarray, 'type'),
        (len, 'len'),
    ],
)
def test_what_is_no_plain_data(tmp_path, value, reason):
    torch.save({'state_dict': {}, 'extra': [value]}, tmp_path / 'w.pth')
    digest = hashlib.sha256((tmp_path / 'w.pth').read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=reason) as caught:
        read_checkpoint(tmp_path / 'w.pth')
    assert f'{tmp_path}/w.pth: refused, ' in str(caught.value)
    assert f'--trust-checkpoint {digest}' in str(caught.value)
    assert isinstance(caught.value, WeightsError)


@pytest.mark.parametrize(
    'state',
    [
        {},
        dict(_log_history=np.ones(2), _count_history=np.ones(3), max_length=5),
        dict(_log_history=np.ones((2, 1)), _count_history=np.ones(2), max_length=5),
        dict(_log_history=[1, 2], _count_history=np.ones(2), max_length=5),
        dict(_log_history=np.ones(2), _count_history=np.ones(2), max_length='5'),
        dict(_log_history=np.ones(2), _count_history=np.ones(2), max_length=5, mean=1),
        dict(_log_history=np.ones(2), _count_history=np.ones(2), max_length=5, statistics_methods={'mean': 1}),
        dict(_log_history=np.array(['a']), _count_history=np.ones(1), max_length=5),
    ],
)
def test_log_histories_of_another_form(tmp_path, state):
    history = CORPUS.HISTORY + b')\x81' + pickle.dumps(state, 2)[2:-1] + b'b'
    CORPUS.zipped(tmp_path / 'w.pth', ('w/data.pkl', CORPUS.entry(history)))
    before = dict(HistoryBuffer._statistics_methods)
    with pytest.raises(CheckpointError, match='holds a HistoryBuffer'):
        read_checkpoint(tmp_path / 'w.pth')
    assert HistoryBuffer._statistics_methods == before


@pytest.mark.parametrize(
    ('shape', 'kind', 'data'),
    [
        (b'K\x02\x85', 'f4', b'1234'),
        (b'J\xff\xff\xff\xff\x85', 'f4', b'1234'),
        (b'K\x01\x85', 'f3', b'123'),
        (b'N', 'f4', b'1234'),
        (b'(t', 'U9999999', b''),
    ],
)
def test_arrays_whose_state_does_not_fit(tmp_path, shape, kind, data):
    dtype = CORPUS.called(CORPUS.named('numpy', 'dtype'), CORPUS.text(kind), b'\x89', b'\x88')
    CORPUS.zipped(tmp_path / 'w.pth', ('w/data.pkl', CORPUS.entry(CORPUS.array(shape, dtype, data))))
    with pytest.raises(CheckpointError, match='NumPy array'):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize('content', [[1, 2], torch.ones(2), 'text', None])
def test_no_dictionary(tmp_path, content):
    torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'w\.pth: holds no tensors \(a '):
        read_checkpoint(tmp_path / 'w.pth')


def test_tensors_larger_than_the_file(tmp_path):
    """A view of one number with a stride of zero may have any size."""
    torch.save({'a': torch.ones(1).expand(1 << 20)}, tmp_path / 'w.pth')
    assert read_checkpoint(tmp_path / 'w.pth')['a'].numel() == 1 << 20
    torch.save({'a': torch.ones(1).expand(1 << 30)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match='more bytes than the'):
        read_checkpoint(tmp_path / 'w.pth')


def test_a_program_is_no_checkpoint(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match='refused'):
        read_checkpoint(tmp_path / 'w.pth')


def test_garbled_files_are_refused_or_read(tmp_path):
    """Whatever byte is changed, there is an error of one kind or a plain result."""
    torch.save(CORPUS.checkpoint(extra=np.arange(3), buffer=HistoryBuffer([1.0], [1])), tmp_path / 'whole.pth')
    content = (tmp_path / 'whole.pth').read_bytes()
    with zipfile.ZipFile(tmp_path / 'whole.pth') as archive:
        size = archive.getinfo('whole/data.pkl').file_size
    start = content.index(b'\x80\x02')
    generator, refused = random.Random(0), 0
    for _ in range(300):
        changed = bytearray(content)
        changed[start + generator.randrange(size)] = generator.randrange(256)
        (tmp_path / 'w.pth').write_bytes(changed)
        try:
            assert isinstance(read_checkpoint(tmp_path / 'w.pth'), dict)
        except CheckpointError as error:
            refused += 'Fix: ' in str(error)
    assert refused > 150


def test_old_torch_reads_no_pickles(tmp_path, monkeypatch):
    """Before 2.10 a file could corrupt the restricted unpickler's memory."""
    torch.save({'a': torch.ones(1)}, tmp_path / 'w.pth')
    save_file({'a': torch.ones(1)}, tmp_path / 'w.safetensors')
    monkeypatch.setattr(checkpoints, 'SAFE_TORCH', '99')
    with pytest.raises(CheckpointError, match=r'torch .* can be attacked \(update it to 99\)'):
        read_checkpoint(tmp_path / 'w.pth')
    assert torch.equal(read_checkpoint(tmp_path / 'w.safetensors')['state_dict']['a'], torch.ones(1))


# ---- what mmengine would run or delete


@pytest.mark.parametrize(
    ('best', 'kept'),
    [
        ('{here}/best_acc_epoch_1.pth', True),
        ('best_acc_epoch_1.pth', False),
        ('{here}/epoch_1.pth', False),
        ('{here}/best_acc', False),
        ('{here}/../best_acc_epoch_1.pth', False),
        ('{here}/../{name}/best_acc_epoch_1.pth', True),
        ('{here}/inner/best_acc_epoch_1.pth', False),
        ('{here}/best_link.pth', False),
        ('{here}/best_\0.pth', False),
        (['{here}/best_acc_epoch_1.pth'], False),
        (None, True),
    ],
)
def test_only_best_checkpoints_beside_the_file_are_named(tmp_path, best, kept):
    (tmp_path / 'best_link.pth').symlink_to('/etc/passwd')
    if isinstance(best, str):
        best = best.format(here=tmp_path, name=tmp_path.name)
    content = CORPUS.with_info(tmp_path / 'canary', best_ckpt=best, **{'best_ckpt_acc/top1': best})
    content['message_hub']['resumed_keys'].update(best_ckpt=True)
    torch.save(content, tmp_path / 'w.pth')
    hub = read_checkpoint(tmp_path / 'w.pth')['message_hub']
    assert ('best_ckpt' in hub['runtime_info'], 'best_ckpt_acc/top1' in hub['runtime_info']) == (kept, kept)
    assert ('best_ckpt' in hub['resumed_keys']) == kept


def test_a_relative_path_is_taken_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'run').mkdir()
    torch.save(CORPUS.with_info(tmp_path, best_ckpt='run/best_acc_epoch_1.pth'), tmp_path / 'run' / 'w.pth')
    assert 'best_ckpt' in read_checkpoint('run/w.pth')['message_hub']['runtime_info']


@pytest.mark.parametrize('ids', [['1'], [1.5], 'text', [True], {'a': 1}])
def test_numbers_of_kept_checkpoints(tmp_path, ids):
    torch.save(CORPUS.with_info(tmp_path, keep_ckpt_ids=ids), tmp_path / 'w.pth')
    assert 'keep_ckpt_ids' not in read_checkpoint(tmp_path / 'w.pth')['message_hub']['runtime_info']
    torch.save(CORPUS.with_info(tmp_path, keep_ckpt_ids=[1, 2]), tmp_path / 'w.pth')
    assert read_checkpoint(tmp_path / 'w.pth')['message_hub']['runtime_info']['keep_ckpt_ids'] == [1, 2]


@pytest.mark.parametrize('part', [None, 1, [], 'text'])
def test_parts_of_another_kind(tmp_path, part):
    torch.save(dict(state_dict={'a': torch.ones(1)}, meta=part, message_hub=part), tmp_path / 'w.pth')
    assert read_checkpoint(tmp_path / 'w.pth')['meta'] == part
    torch.save(dict(message_hub=dict(runtime_info=part, resumed_keys=part)), tmp_path / 'w.pth')
    assert read_checkpoint(tmp_path / 'w.pth')['message_hub']['runtime_info'] == part


# ---- trust


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize('name', ['exec', 'old format', 'protocol 4', 'getattr chain'])
def test_trust_lets_one_file_through_and_says_what(tmp_path, log, name):
    canary, other = CORPUS.prepared(tmp_path / 'one'), CORPUS.prepared(tmp_path / 'two')
    path = CORPUS.CASES[name].write(tmp_path / 'one', canary)
    second = CORPUS.CASES[name].write(tmp_path / 'two', other)
    assert digest(path) != digest(second)
    trust(digest(path).upper())
    read = read_checkpoint(path)
    assert canary.exists()
    assert 'state_dict' in read
    assert log[0] == f'{path}: unpickled in full, its SHA-256 {digest(path)} is trusted'
    named = [line.rpartition(' ')[2] for line in log[1:]]
    assert ('builtins.getattr' if name == 'getattr chain' else 'builtins.exec') in named
    assert 'collections.OrderedDict' not in named
    with pytest.raises(CheckpointError, match=r'what is trusted so far is another file') as caught:
        read_checkpoint(second)
    assert digest(second) in str(caught.value)
    assert not other.exists()


def test_a_changed_file_is_no_longer_trusted(tmp_path):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['old format'].write(tmp_path, canary)
    trust(digest(path))
    path.write_bytes(path.read_bytes() + b'\0')
    with pytest.raises(CheckpointError, match=digest(path)):
        read_checkpoint(path)
    assert not canary.exists()


def test_safe_files_are_read_safely_even_if_trusted(tmp_path, log):
    torch.save({'state_dict': {'a': torch.ones(1)}}, tmp_path / 'w.pth')
    trust(digest(tmp_path / 'w.pth'))
    assert read_checkpoint(tmp_path / 'w.pth')['state_dict']['a'] == 1
    assert not log


def test_trusted_objects_come_back_as_they_are(tmp_path):
    torch.save({'state_dict': {'a': torch.ones(1)}, 'path': Path('x'), 'meta': {'cfg': 'text'}}, tmp_path / 'w.pth')
    trust(digest(tmp_path / 'w.pth'))
    read = read_checkpoint(tmp_path / 'w.pth')
    assert read['path'] == Path('x')
    assert read['meta'] == {'cfg_text': 'text'}


def test_trust_does_not_open_broken_containers(tmp_path):
    canary = CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['hostile pickle, then another'].write(tmp_path, canary)
    trust(digest(path))
    with pytest.raises(CheckpointError, match='is in it twice'):
        read_checkpoint(path)
    assert not canary.exists()


def test_a_trusted_file_that_fails(tmp_path):
    torch.save({'state_dict': {}, 'extra': CORPUS.Call(int, 'no number')}, tmp_path / 'w.pth')
    trust(digest(tmp_path / 'w.pth'))
    with pytest.raises(CheckpointError, match=r'damaged .*invalid literal'):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize('text', ['', 'abc', 'g' * 64, '0' * 63, '0' * 65])
def test_what_is_no_digest(text, capsys):
    with pytest.raises(CheckpointError, match=r'no SHA-256\. Fix: '):
        trust(text)
    parser = argparse.ArgumentParser()
    add_trust_option(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--trust-checkpoint', text])
    assert 'no SHA-256' in capsys.readouterr().err


def test_option_may_be_given_several_times():
    parser = argparse.ArgumentParser()
    add_trust_option(parser)
    apply_trust(parser.parse_args([]))
    assert checkpoint_trust._trusted == set()
    apply_trust(parser.parse_args(['--trust-checkpoint', 'A' * 64, '--trust-checkpoint', 'b' * 64]))
    assert checkpoint_trust._trusted == {'a' * 64, 'b' * 64}


def test_a_look_without_the_numbers(tmp_path):
    """On the device 'meta' tensors have sizes and no values."""
    weights = {'a': torch.ones(3, 2), 'b': torch.ones(5)}
    torch.save(CORPUS.checkpoint(state_dict=weights), tmp_path / 'w.pth')
    write_state_dict(tmp_path / 'w.safetensors', weights, dict(epoch=1))
    for name in ('w.pth', 'w.safetensors'):
        read = read_checkpoint(tmp_path / name, 'meta')
        assert read['meta']['epoch'] == 1
        assert {key: (tuple(value.shape), value.device.type) for key, value in read['state_dict'].items()} == {
            'a': ((3, 2), 'meta'),
            'b': ((5,), 'meta'),
        }
