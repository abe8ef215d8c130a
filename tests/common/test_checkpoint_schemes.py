"""Addresses of checkpoints: which file each one means, what is fetched and checked, and that all are read safely."""

import hashlib
import http.server
import json
import runpy
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as upstream

from mmext.common import checkpoint_schemes
from mmext.common.checkpoint_schemes import cached, digest_in, fetched, resolve
from mmext.common.checkpoints import CheckpointError, use_safe_loading

CORPUS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name('hostile_checkpoints.py'))))


@pytest.fixture
def server(tmp_path):
    """A folder and the address of the server that hands out its files; `asked` has the requests."""
    folder, asked = tmp_path / 'server', []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, text: str, *arguments) -> None:
            asked.append(arguments[0])

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield SimpleNamespace(folder=folder, url=f'http://127.0.0.1:{running.server_address[1]}', asked=asked)
        running.shutdown()


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """torch hub's folder of checkpoints, and mmengine's own folder beside it."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path / 'home'))
    use_safe_loading()
    return tmp_path / 'hub' / 'checkpoints'


def weights(path: Path, value: float = 1.0) -> str:
    """Writes a checkpoint and returns the first digits of its digest."""
    path.parent.mkdir(exist_ok=True)
    torch.save({'state_dict': {'backbone.a': torch.full((2,), value), 'head.b': torch.ones(1)}}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def load(address: str) -> dict:
    return CheckpointLoader.load_checkpoint(address, map_location='cpu', logger='silent')


def test_fetched_once_and_kept_under_its_name(server, hub):
    weights(server.folder / 'w.pth')
    for _ in range(2):
        assert load(f'{server.url}/w.pth?raw=1')['state_dict']['head.b'] == 1
    assert len(server.asked) == 1
    assert [path.name for path in hub.iterdir()] == ['w.pth']
    assert (hub / 'w.pth').read_bytes() == (server.folder / 'w.pth').read_bytes()


def test_another_folder(server, tmp_path):
    weights(server.folder / 'w.pth')
    loader = CheckpointLoader._get_checkpoint_loader(server.url)
    loader(f'{server.url}/w.pth', map_location='cpu', model_dir=str(tmp_path / 'own'))
    assert (tmp_path / 'own' / 'w.pth').is_file()


def test_digest_in_the_name_is_checked(server, hub):
    digits = weights(server.folder / 'w.pth')
    good, bad = server.folder / f'w-{digits}.pth', server.folder / 'w-0123abcd.pth'
    (server.folder / 'w.pth').rename(good)
    bad.write_bytes(good.read_bytes())
    assert 'state_dict' in load(f'{server.url}/{good.name}')
    with pytest.raises(CheckpointError, match=rf'{server.url}/w-0123abcd.pth: cannot be fetched .*"{digits}.*Fix: '):
        load(f'{server.url}/{bad.name}')
    assert [path.name for path in hub.iterdir()] == [good.name]


def test_digest_of_what_is_kept_is_checked(server, hub):
    digits = weights(server.folder / 'w.pth')
    name = f'w-{digits}.pth'
    weights(hub.parent / 'other', value=2)
    hub.mkdir()
    (hub.parent / 'other').rename(hub / name)
    with pytest.raises(CheckpointError, match=rf'{name}: its SHA-256 does not begin with {digits}.* Fix: delete it'):
        load(f'{server.url}/{name}')
    assert not server.asked


@pytest.mark.parametrize(
    ('name', 'digest'),
    [
        ('resnet50-0676ba61.pth', '0676ba61'),
        ('fcn_r50-d8_512x1024_40k_cityscapes_20200604_192608-efe53f0d.pth', 'efe53f0d'),
        (f'w-{"ab" * 32}.pth', 'ab' * 32),
        ('w-0676ba6.pth', ''),
        ('w-20200604.pth', ''),
        ('w-20209904.pth', '20209904'),
        ('w_0676ba61.pth', ''),
        ('w-0676ba61', ''),
        ('w-0676ba61-more.pth', ''),
        ('W-0676BA61.pth', ''),
        ('w.pth', ''),
    ],
)
def test_digests_in_names(name, digest):
    assert digest_in(name) == digest


def test_nothing_there(server, hub):
    with pytest.raises(CheckpointError, match=rf'404.*put it there: {hub}/gone.pth'):
        load(f'{server.url}/gone.pth')
    with pytest.raises(CheckpointError, match='cannot be fetched'):
        fetched('http://127.0.0.1:9/w.pth')
    assert not list(hub.iterdir())


def test_a_web_page_is_not_kept(server, hub):
    (server.folder / 'w.pth').write_text('<html>log in</html>')
    with pytest.raises(CheckpointError, match=f'{server.url}/w.pth: a web page'):
        load(f'{server.url}/w.pth')
    assert not list(hub.iterdir())


@pytest.mark.parametrize('name', ['exec', 'old format', 'zip bomb'])
def test_what_is_fetched_is_read_safely(server, hub, name):
    canary = CORPUS.prepared(hub.parent / 'case')
    path = CORPUS.CASES[name].write(server.folder, canary)
    with pytest.raises(CheckpointError, match=f'{hub}/{path.name}: refused'):
        load(f'{server.url}/{path.name}')
    assert not CORPUS.harm(canary)


def zoos(monkeypatch, address: str) -> list[str]:
    """Lets every zoo have a model 'net' at an address, and another one under an outdated name."""
    for function in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(checkpoint_schemes, function, lambda: {'net': address})
    monkeypatch.setattr(checkpoint_schemes, 'get_deprecated_model_names', lambda: {'old_net': 'net'})
    names = [f'{zoo}://net' for zoo in ('torchvision', 'modelzoo', 'open-mmlab', 'openmmlab', 'mmcls')]
    return [*names, 'open-mmlab://old_net']


def test_model_zoos(server, monkeypatch):
    weights(server.folder / 'w.pth')
    for address in zoos(monkeypatch, f'{server.url}/w.pth'):
        found = load(address)['state_dict']
        assert list(found) == (['a'] if address.startswith('mmcls') else ['backbone.a', 'head.b'])
    assert len(server.asked) == 1


def test_hostile_files_of_model_zoos(server, hub, monkeypatch):
    canary = CORPUS.prepared(hub.parent / 'case')
    path = CORPUS.CASES['exec'].write(server.folder, canary)
    for address in zoos(monkeypatch, f'{server.url}/{path.name}'):
        with pytest.raises(CheckpointError, match='refused'):
            load(address)
    assert not CORPUS.harm(canary)


def test_local_files_of_a_zoo(tmp_path):
    """mmengine lets users add models of their own, by a path below its folder."""
    weights(tmp_path / 'home' / 'mine.pth')
    (tmp_path / 'home' / 'open_mmlab.json').write_text(json.dumps({'mine': 'mine.pth'}))
    assert resolve('open-mmlab://mine') == str(tmp_path / 'home' / 'mine.pth')
    assert 'state_dict' in load('open-mmlab://mine')


@pytest.mark.parametrize('address', ['torchvision://resnet5', 'open-mmlab://none', 'mmcls://none', 'modelzoo://none'])
def test_models_that_no_zoo_has(address):
    with pytest.raises(CheckpointError, match=f'{address}: no such model is known. Fix: '):
        load(address)


def test_local_paths(tmp_path, monkeypatch):
    weights(tmp_path / 'w.pth')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert load('~/w.pth')['state_dict']['head.b'] == 1
    with pytest.raises(FileNotFoundError, match=r'gone\.pth: no such checkpoint'):
        load(str(tmp_path / 'gone.pth'))


@pytest.mark.parametrize('address', ['s3://bucket/w.pth', 'petrel://bucket/w.pth', 'cluster:s3://bucket/w.pth'])
def test_object_stores(tmp_path, monkeypatch, address):
    weights(tmp_path / 'w.pth')
    store = SimpleNamespace(get=lambda asked: (tmp_path / 'w.pth').read_bytes())
    monkeypatch.setattr(checkpoint_schemes, 'get_file_backend', lambda asked, backend_args: store)
    assert load(address)['state_dict']['head.b'] == 1
    canary = CORPUS.prepared(tmp_path / 'case')
    CORPUS.CASES['exec'].write(tmp_path, canary)
    with pytest.raises(CheckpointError, match='refused'):
        load(address)
    assert not CORPUS.harm(canary)


def test_addresses_that_are_not_read():
    with pytest.raises(CheckpointError, match='Fix: fetch the file'):
        load('pavi://some/model')


def test_no_loader_of_mmengine_is_left():
    """However mmengine sorts them, and in whichever version."""
    left = {prefix: loader for prefix, loader in CheckpointLoader._schemes.items() if loader.__module__ != MODULE}
    assert not left
    assert all(
        CheckpointLoader._schemes[prefix] for prefix in ('', 'http://', 'https://', 'torchvision://', 'mmcls://')
    )
    before = dict(CheckpointLoader._schemes)
    use_safe_loading()
    assert list(CheckpointLoader._schemes) == list(before)


MODULE = checkpoint_schemes.__name__


def test_loaders_of_others_stay(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    CheckpointLoader.register_scheme('mine://', lambda filename, map_location: {'state_dict': {}}, force=True)
    use_safe_loading()
    assert CheckpointLoader._get_checkpoint_loader('mine://x')('mine://x', None) == {'state_dict': {}}


def test_without_it_mmengine_would_run_the_file(tmp_path, monkeypatch):
    """The loaders that are replaced unpickle in full, the original line's if torch lets them."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    canary = CORPUS.prepared(tmp_path)
    upstream.load_from_local(str(CORPUS.CASES['exec'].write(tmp_path, canary)), 'cpu')
    assert canary.exists()


def fetch_and_read(rank: int, url: str, folder: str) -> tuple[str, float]:
    path = fetched(url, folder)
    return path.name, torch.load(path, weights_only=True)['state_dict']['head.b'].item()


def test_one_process_fetches_for_all(server, tmp_path, in_two_processes):
    weights(server.folder / 'w.pth')
    found = in_two_processes(fetch_and_read, f'{server.url}/w.pth', str(tmp_path / 'shared'))
    assert found == [('w.pth', 1.0)] * 2
    assert len(server.asked) == 1


def test_where_downloads_are_kept(hub):
    assert cached('https://example.org/a/w-1.pth?raw=1#x') == hub / 'w-1.pth'
    assert cached('https://example.org/w.pth', '/some') == Path('/some/w.pth')
