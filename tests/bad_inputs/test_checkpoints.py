"""Files that are no usable checkpoint, through every tool that reads one: refused, named, and nothing in them runs."""

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True, num_classes=2),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=64, loss=dict(type='CrossEntropyLoss')))
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root='data', pipeline=pipeline))
test_dataloader = train_dataloader
test_cfg = dict()
test_evaluator = dict(type='Accuracy')
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
"""
RAN = 'the proof that code ran'


class Canary:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return (exec, (f'open({self.path!r}, "w").write({RAN!r})',))


@pytest.fixture(scope='session')
def state() -> OrderedDict:
    """The weights that fit the config."""
    import mmpretrain.models  # noqa: F401
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    cfg = Config.fromstring(CONFIG, '.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng():
        torch.manual_seed(0)
        return OrderedDict(MODELS.build(cfg.model).state_dict())


def saved(content: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


Make = Callable[[Path, OrderedDict], None]


def write(content: bytes) -> Make:
    return lambda path, state: path.write_bytes(content) and None


def cut(share: float, zipped: bool = True) -> Make:
    def make(path: Path, state: OrderedDict) -> None:
        whole = saved({'state_dict': state, 'meta': {}}, zipped)
        path.write_bytes(whole[: int(share * len(whole))])

    return make


def zero_tail(path: Path, state: OrderedDict) -> None:
    whole = saved({'state_dict': state})
    path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b'\0'))


def hostile(place: str, zipped: bool = True) -> Make:
    """A sound checkpoint with the canary in one of the places that a training fills."""

    def make(path: Path, state: OrderedDict) -> None:
        canary = Canary(path.with_name('canary'))
        content = {'state_dict': state, 'meta': {'epoch': 1, 'iter': 1}, 'optimizer': {'state': {}, 'param_groups': []}}
        if place == 'top':
            content['extra'] = canary
        elif place == 'state_dict':
            content['state_dict'] = OrderedDict(state, evil=canary)
        elif place == 'optimizer':
            content['optimizer']['state'][0] = {'momentum_buffer': [canary]}
        elif place == 'meta':
            content['meta']['hooks'] = {'deep': [{'er': (canary,)}]}
        elif place == 'key':
            content[canary] = 1
        path.write_bytes(saved(content, zipped))

    return make


def bare_pickle(path: Path, state: OrderedDict) -> None:
    path.write_bytes(pickle.dumps(Canary(path.with_name('canary'))))


def second_pickle(path: Path, state: OrderedDict) -> None:
    """A sound archive in which the record data.pkl is there twice, the second one hostile."""
    path.write_bytes(saved({'state_dict': state}))
    with zipfile.ZipFile(path, 'a') as archive:
        name = next(name for name in archive.namelist() if name.endswith('data.pkl'))
        archive.writestr(name, pickle.dumps(Canary(path.with_name('canary'))))


def dangling_link(path: Path, state: OrderedDict) -> None:
    path.symlink_to('gone.pth')


def missing(path: Path, state: OrderedDict) -> None:
    return None


def a_folder(path: Path, state: OrderedDict) -> None:
    path.mkdir()


def zip_of_text(path: Path, state: OrderedDict) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a.txt', 'text')


def tensors(content: Callable[[OrderedDict], object]) -> Make:
    return lambda path, state: path.write_bytes(saved(content(state))) and None


def with_nan(state: OrderedDict) -> dict:
    changed = OrderedDict((name, tensor.clone()) for name, tensor in state.items())
    changed['backbone.conv1.weight'][0, 0, 0, 0] = float('nan')
    return {'state_dict': changed}


DAMAGED = ['truncated|damaged|cut off|no checkpoint']
REFUSED = ['refused|exec', 'exec|object']
FAULTS = [
    pytest.param(cut(0.01), DAMAGED, id='cut-at-the-start'),
    pytest.param(cut(0.5), DAMAGED, id='cut-in-the-middle'),
    pytest.param(cut(0.999), DAMAGED, id='cut-at-the-end'),
    pytest.param(cut(0.5, zipped=False), DAMAGED, id='old-format-cut'),
    pytest.param(zero_tail, DAMAGED, id='zeros-from-the-middle'),
    pytest.param(write(b''), ['empty'], id='empty'),
    pytest.param(write(b'these are no weights\n' * 9), ['neither a torch checkpoint nor safetensors'], id='text'),
    pytest.param(write(b'\n<!DOCTYPE html><html>Sign in</html>'), ['a web page'], id='web-page'),
    pytest.param(
        write(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n'),
        ['Git LFS pointer', 'git lfs pull'],
        id='lfs-pointer',
    ),
    pytest.param(write(b'\x89PNG\r\n\x1a\n' + bytes(99)), ['neither a torch checkpoint'], id='picture'),
    pytest.param(zip_of_text, [r'w\.pth'], id='other-zip'),
    pytest.param(tensors(lambda state: {'epoch': 3}), ['no tensors|no optimizer|only 0.0%'], id='no-state-dict'),
    pytest.param(tensors(lambda state: [1, 2]), ['no tensors|list'], id='list'),
    pytest.param(tensors(lambda state: torch.ones(3)), ['no tensors|Tensor'], id='bare-tensor'),
    pytest.param(missing, ['no such'], id='missing'),
    pytest.param(dangling_link, ['no such'], id='dangling-link'),
    pytest.param(a_folder, ['no such|is a folder'], id='folder'),
    pytest.param(bare_pickle, ['w.pth'], id='bare-hostile-pickle'),
    pytest.param(second_pickle, ['w.pth'], id='hostile-second-record'),
    *(
        pytest.param(hostile(place, zipped), REFUSED, id=f'hostile-{place}{"" if zipped else "-old-format"}')
        for zipped in (True, False)
        for place in ('top', 'state_dict', 'optimizer', 'meta', 'key')
    ),
]
# What only a tool can tell that knows the network.
OF_OTHERS = [
    pytest.param(
        tensors(lambda state: {'state_dict': {f'q.{name}': tensor for name, tensor in state.items()}}),
        ['0.0%|none|fit', 'config'],
        id='other-names',
    ),
    pytest.param(
        tensors(lambda state: {'state_dict': {name: tensor[..., None] for name, tensor in state.items()}}),
        ['0.0%|none|fit', 'config'],
        id='other-shapes',
    ),
    pytest.param(tensors(with_nan), [r'backbone\.conv1\.weight', 'NaN|finite'], id='nan-weights'),
]


# Building a run takes most of a second: the rest is left to the tools that are quicker.
OF_RUNS = [
    case
    for case in FAULTS
    if case.id
    in (
        *('cut-in-the-middle', 'zeros-from-the-middle', 'empty', 'web-page', 'lfs-pointer', 'no-state-dict', 'missing'),
        *('folder', 'bare-hostile-pickle', 'hostile-second-record', 'hostile-optimizer', 'hostile-meta-old-format'),
    )
]


@pytest.fixture
def inputs(work) -> Path:
    """Config, data and a place for the checkpoint; results of the tools go elsewhere."""
    folder = work / 'in'
    for name in ('cat', 'dog'):
        (folder / 'data' / name).mkdir(parents=True)
        for number in range(3):
            Image.new('RGB', (32, 32), (90, 40 * number, 60)).save(folder / 'data' / name / f'{number}.png')
    (folder / 'c.py').write_text(CONFIG.replace("'data'", f'{str(folder / "data")!r}'))
    return folder


@pytest.fixture
def canary(work):
    """The file that a hostile checkpoint would write must not be there afterwards, anywhere."""
    yield
    assert not list(work.rglob('canary'))


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize(('make', 'parts'), [*FAULTS, *OF_OTHERS])
def test_predict(make, parts, inputs, state, refused):
    make(inputs / 'w.pth', state)
    argv = ['in/c.py', 'in/w.pth', 'in/data', '--out', 'out']
    refused('predict.py', argv, r'w\.pth', *parts)


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize(('make', 'parts'), [*OF_RUNS, *OF_OTHERS])
def test_test(make, parts, inputs, state, refused):
    make(inputs / 'w.pth', state)
    argv = ['in/c.py', 'in/w.pth', '--work-dir', 'wd']
    refused('test.py', argv, r'w\.pth', *parts, folder=inputs)


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize(('make', 'parts'), OF_RUNS)
def test_resume(make, parts, inputs, state, refused):
    make(inputs / 'w.pth', state)
    argv = ['in/c.py', '--work-dir', 'wd', '--resume', 'in/w.pth']
    refused('train.py', argv, r'w\.pth', *parts, folder=inputs)


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize(('make', 'parts'), OF_RUNS)
def test_load_from(make, parts, inputs, state, refused):
    make(inputs / 'w.pth', state)
    argv = ['in/c.py', '--work-dir', 'wd', '--cfg-options', 'load_from=in/w.pth']
    refused('train.py', argv, r'w\.pth', *(['weights are missing'] if 'no such' in parts[0] else parts), folder=inputs)


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize(('make', 'parts'), [*FAULTS, *OF_OTHERS])
def test_embed(make, parts, inputs, state, refused):
    make(inputs / 'w.pth', state)
    argv = ['in/c.py', 'in/w.pth', '--split', 'test', '--out', 'out']
    refused('analysis/embed.py', argv, r'w\.pth', *parts)


CONVERTERS = ['convert_vgg.py', 'convert_vit.py', 'convert_mit.py', 'convert_street.py', 'convert_maskrcnn.py']


@pytest.mark.usefixtures('canary')
@pytest.mark.parametrize('make', [pytest.param(case.values[0], id=case.id) for case in FAULTS])
@pytest.mark.parametrize('tool', CONVERTERS)
def test_converters(tool, make, inputs, state, refused):
    make(inputs / 'w.pth', state)
    (inputs / 'old.pth').write_text('an older result')
    refused(f'prepare/{tool}', ['in/w.pth', 'in/old.pth', '--report', 'in/r.json'], r'w\.pth: ', 'Fix: ')


@pytest.mark.parametrize('tool', CONVERTERS)
def test_weights_of_another_network(tool, inputs, state, load_tool, capsys):
    """The report says what is missing; no weights are written, and an older result stays."""
    (inputs / 'w.pth').write_bytes(saved({'state_dict': state}))
    (inputs / 'old.pth').write_text('an older result')
    assert load_tool(f'prepare/{tool}').main(['in/w.pth', 'in/old.pth', '--report', 'in/r.json']) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert 'w.pth' in error
    assert 'Fix: ' in error
    assert (inputs / 'old.pth').read_text() == 'an older result'
    if (inputs / 'r.json').exists():
        assert json.loads((inputs / 'r.json').read_text())['ok'] is False
    assert not list(inputs.rglob('*.part'))


def vgg11(change: Callable[[OrderedDict], None]) -> bytes:
    """Weights of torchvision's VGG11, small ones being the same to the converter but for their shapes."""
    from torchvision.models import vgg11

    with torch.device('meta'):
        shapes = {name: tensor.shape for name, tensor in vgg11().state_dict().items()}
    state = OrderedDict((name, torch.zeros(1).expand(shape)) for name, shape in shapes.items())
    change(state)
    return saved(state)


def nan(state: OrderedDict) -> None:
    bias = torch.zeros(state['features.0.bias'].shape)
    bias[3:5] = torch.tensor([float('nan'), float('inf')])
    state['features.0.bias'] = bias


def without_one(state: OrderedDict) -> None:
    del state['features.3.bias']


def of_other_shape(state: OrderedDict) -> None:
    state['features.3.bias'] = torch.zeros(7)


VGG = [
    pytest.param(nan, [r"'features\.0\.bias'", '2 values', 'NaN or infinite', 'Fix: '], id='nan'),
    pytest.param(without_one, [r"'features\.3\.bias'", 'missing', 'Fix: '], id='one-tensor-missing'),
    pytest.param(of_other_shape, [r"'features\.3\.bias'", r'\(7,\)', r'\(128,\)', 'Fix: '], id='one-shape-wrong'),
]


@pytest.mark.parametrize(('change', 'parts'), VGG)
def test_one_bad_tensor(change, parts, inputs, refused):
    (inputs / 'w.pth').write_bytes(vgg11(change))
    refused('prepare/convert_vgg.py', ['in/w.pth', 'in/new.pth'], r'w\.pth', *parts)


def npz(**arrays: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open('wb') as file:
            np.savez(file, **arrays)

    return make


def npz_cut(path: Path) -> None:
    npz(a=np.zeros(500))(path)
    path.write_bytes(path.read_bytes()[:900])


def npz_bomb(path: Path) -> None:
    """A header that promises an array of a petabyte."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (140737488355328,), }".ljust(117) + b'\n'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a.npy', b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header)


NPZ = [
    pytest.param(npz_cut, ['damaged|no npz'], id='cut'),
    pytest.param(npz_bomb, ['damaged|no npz|bytes'], id='claims-a-petabyte'),
    pytest.param(npz(a=np.array([{}], dtype=object)), ["refused, the array 'a' holds Python objects"], id='objects'),
    pytest.param(npz(a=np.array(['x'])), ["the entry 'a' holds no numbers"], id='text'),
    pytest.param(npz(), ['empty zip|no checkpoint|neither a torch|holds no'], id='empty'),
]


@pytest.mark.parametrize(('make', 'parts'), NPZ)
def test_npz(make, parts, work, refused):
    make(work / 'w.npz')
    refused('prepare/convert_vit.py', ['w.npz', 'out.pth'], r'w\.npz', *parts, 'Fix: ')
