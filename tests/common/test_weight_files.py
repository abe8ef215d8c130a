"""Files of weights: what is read, what is refused, and that a file is written whole or not at all."""

import json
import pickle
import stat
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmext.common.weight_files import WeightsError, read_state_dict, write_state_dict


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        'conv.weight': torch.randn(4, 3, 3, 3, generator=generator),
        'conv.bias': torch.randn(4, generator=generator).half(),
        'bn.num_batches_tracked': torch.tensor(5),
    }


def same(one, other) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


class Canary:
    """Unpickling it writes a file: the proof that code ran."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (exec, (f'open({str(self.path)!r}, "w").write("ran")',))


@pytest.mark.parametrize('suffix', ['.pth', '.pt', '.bin', '.safetensors'])
def test_round_trip(tmp_path, weights, suffix):
    path = tmp_path / 'new' / f'w{suffix}'
    write_state_dict(path, weights, {'arch': 'b0'})
    read = read_state_dict(path)
    assert same({name: read[name] for name in weights}, weights)
    assert len(read) == len(weights)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_permissions_follow_the_umask(tmp_path, weights):
    (tmp_path / 'plain').write_text('')
    for suffix in ('.pth', '.safetensors'):
        write_state_dict(tmp_path / f'w{suffix}', weights)
        assert (tmp_path / f'w{suffix}').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_checkpoint_is_one_that_mmengine_loads(tmp_path, weights):
    write_state_dict(tmp_path / 'w.pth', weights, {'arch': 'b0', 'notes': ['n']})
    content = torch.load(tmp_path / 'w.pth', weights_only=True)
    assert content['meta'] == {'arch': 'b0', 'notes': ['n']}
    assert isinstance(content['state_dict'], OrderedDict)
    assert same(content['state_dict'], weights)


def test_safetensors_header_keeps_the_meta(tmp_path, weights):
    write_state_dict(tmp_path / 'w.safetensors', weights, {'arch': 'b0'})
    with safe_open(tmp_path / 'w.safetensors', 'pt') as file:
        assert json.loads(file.metadata()['meta']) == {'arch': 'b0'}


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    big = torch.zeros(1_000_000)
    for suffix in ('.pth', '.safetensors'):
        write_state_dict(tmp_path / f'w{suffix}', {'a': big[:10], 'b': big[10:20]})
        assert (tmp_path / f'w{suffix}').stat().st_size < 10_000


def test_format_is_told_by_content_not_by_suffix(tmp_path, weights):
    save_file(weights, tmp_path / 'model.bin')
    assert same(dict(sorted(read_state_dict(tmp_path / 'model.bin').items())), dict(sorted(weights.items())))
    torch.save(weights, tmp_path / 'odd.safetensors')
    assert same(read_state_dict(tmp_path / 'odd.safetensors'), weights)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('wrapper', ['state_dict', 'model', 'model_state_dict', 'model_state'])
def test_wrappers_and_parallel_prefix_are_removed(tmp_path, weights, wrapper, zipped):
    inner = {f'module.{name}': tensor for name, tensor in weights.items()}
    content = {wrapper: OrderedDict(inner), 'epoch': 3, 'meta': {'classes': ['road']}, 'optimizer': {'state': {}}}
    torch.save(content, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    assert same(read_state_dict(tmp_path / 'w.pth'), weights)


def test_prefix_that_only_some_share_stays(tmp_path, weights):
    mixed = {'module.a': torch.ones(1), **weights}
    torch.save(mixed, tmp_path / 'w.pth')
    assert same(read_state_dict(tmp_path / 'w.pth'), mixed)


@pytest.mark.parametrize('zipped', [True, False])
def test_hostile_pickle_is_refused_and_does_not_run(tmp_path, weights, zipped):
    canary = tmp_path / 'canary'
    content = {'state_dict': weights, 'extra': Canary(canary)}
    torch.save(content, tmp_path / 'evil.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r'evil\.pth: refused, .*exec.* Fix: ') as error:
        read_state_dict(tmp_path / 'evil.pth')
    assert not canary.exists()
    assert len(str(error.value).splitlines()) == 1
    # The canary works: full unpickling does run it.
    torch.load(tmp_path / 'evil.pth', weights_only=False)
    assert canary.exists()


def test_bare_pickle_is_refused_and_does_not_run(tmp_path):
    canary = tmp_path / 'canary'
    (tmp_path / 'evil.bin').write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(WeightsError, match=r'evil\.bin'):
        read_state_dict(tmp_path / 'evil.bin')
    assert not canary.exists()


def test_objects_besides_tensors_are_named(tmp_path, weights):
    torch.save({'state_dict': weights, 'folder': tmp_path}, tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='pathlib'):
        read_state_dict(tmp_path / 'w.pth')


def test_arrays_besides_tensors_do_no_harm(tmp_path, weights):
    torch.save({'state_dict': weights, 'scores': np.ones(2)}, tmp_path / 'w.pth')
    assert same(read_state_dict(tmp_path / 'w.pth'), weights)


@pytest.mark.parametrize(('zipped', 'module'), [(True, b'_core'), (False, b'_core'), (False, b'core')])
def test_numbers_of_numpy_besides_tensors_do_no_harm(tmp_path, weights, zipped, module):
    """Scores are often saved as np.float64; the function that makes one is called otherwise by NumPy 1 and 2."""
    path = tmp_path / 'w.pth'
    content = {'model_state': weights, 'best_score': np.float64(0.5), 'best_epoch': np.int64(3)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    if not zipped:
        name = b'cnumpy._core.multiarray\nscalar'
        assert name in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(name, name.replace(b'_core', module)))
    assert same(read_state_dict(path), weights)


@pytest.mark.parametrize('kind', ['zip', 'old pickle', 'safetensors'])
def test_truncated_file_is_named_with_its_size(tmp_path, weights, kind):
    whole = tmp_path / 'whole'
    if kind == 'safetensors':
        save_file(weights, whole)
    else:
        torch.save(weights, whole, _use_new_zipfile_serialization=kind == 'zip')
    content = whole.read_bytes()
    cut = tmp_path / 'cut.pth'
    for length in sorted({20, len(content) // 4, len(content) // 2, len(content) - 30, len(content) - 1}):
        cut.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=rf'cut\.pth: truncated or damaged \({length} bytes') as error:
            read_state_dict(cut)
        assert 'Fix: ' in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'Git LFS pointer'),
        (b'\n<!DOCTYPE html><html></html>', 'a web page'),
        (b'0123456789' * 20, 'neither a torch checkpoint nor safetensors'),
    ],
)
def test_what_is_no_weights_is_called_by_its_name(tmp_path, content, message):
    (tmp_path / 'w.pth').write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / 'w.pth')


def test_other_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / 'w.pth', 'w') as archive:
        archive.writestr('a.txt', 'text')
    with pytest.raises(WeightsError, match=r'w\.pth'):
        read_state_dict(tmp_path / 'w.pth')


@pytest.mark.parametrize('content', [{'epoch': 3}, [1, 2], {}, {'state_dict': {}}])
def test_file_without_tensors(tmp_path, content):
    torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='holds no tensors'):
        read_state_dict(tmp_path / 'w.pth')


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r'gone\.pth: no such file'):
        read_state_dict(tmp_path / 'gone.pth')


def test_unknown_suffix_is_refused_before_anything_is_written(tmp_path, weights):
    with pytest.raises(WeightsError, match=r"suffix '\.txt'"):
        write_state_dict(tmp_path / 'new' / 'w.txt', weights)
    assert not (tmp_path / 'new').exists()


def test_failed_write_leaves_the_old_file_and_no_scraps(tmp_path, weights, monkeypatch):
    path = tmp_path / 'w.pth'
    write_state_dict(path, weights)
    before = path.read_bytes()

    def fail(content, file):
        file.write_bytes(b'half')
        raise OSError('no space left')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='no space left'):
        write_state_dict(path, {'other': torch.ones(2)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
