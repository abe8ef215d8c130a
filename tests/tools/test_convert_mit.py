"""tools/prepare/convert_mit.py from file to file, as a user calls it."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]


def load(name: str, path: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load('convert_mit_tool', 'tools/prepare/convert_mit.py')


@pytest.fixture(scope='module')
def b0() -> dict[str, torch.Tensor]:
    """The authors' ImageNet file of MiT-B0, with random numbers: names and shapes are what counts here."""
    weights = {'head.weight': torch.rand(1000, 256), 'head.bias': torch.rand(1000)}

    def add(name, *shape):
        weights[f'{name}.weight'], weights[f'{name}.bias'] = torch.rand(shape), torch.rand(shape[0])

    channels = 3
    for n, (dim, ratio) in enumerate(zip((32, 64, 160, 256), (8, 4, 2, 1), strict=True), 1):
        size = 7 if n == 1 else 3
        add(f'patch_embed{n}.proj', dim, channels, size, size)
        for name in (f'patch_embed{n}.norm', f'norm{n}'):
            add(name, dim)
        for b in range(2):
            add(f'block{n}.{b}.norm1', dim)
            add(f'block{n}.{b}.attn.q', dim, dim)
            add(f'block{n}.{b}.attn.kv', 2 * dim, dim)
            add(f'block{n}.{b}.attn.proj', dim, dim)
            if ratio > 1:
                add(f'block{n}.{b}.attn.sr', dim, dim, ratio, ratio)
                add(f'block{n}.{b}.attn.norm', dim)
            add(f'block{n}.{b}.norm2', dim)
            add(f'block{n}.{b}.mlp.fc1', 4 * dim, dim)
            add(f'block{n}.{b}.mlp.dwconv.dwconv', 4 * dim, 1, 3, 3)
            add(f'block{n}.{b}.mlp.fc2', dim, 4 * dim)
        channels = dim
    return weights


def test_result_initialises_mmseg_through_the_config(tmp_path, b0, capsys, mmseg_scope):
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    source, target, report = tmp_path / 'mit_b0.pth', tmp_path / 'new' / 'mmseg.pth', tmp_path / 'r' / 'report.json'
    torch.save(b0, source)
    assert tool.main([str(source), str(target), '--report', str(report)]) == 0
    init = dict(type='Pretrained', checkpoint=str(target))
    config = dict(type='MixVisionTransformer', embed_dims=32, num_layers=[2] * 4, num_heads=[1, 2, 5, 8], init_cfg=init)
    model = MODELS.build(config)
    model.init_weights()
    loaded = model.state_dict()
    attention = torch.cat([b0['block3.1.attn.q.weight'], b0['block3.1.attn.kv.weight']])
    assert torch.equal(loaded['layers.2.1.1.attn.attn.in_proj_weight'], attention)
    assert torch.equal(loaded['layers.0.0.projection.weight'], b0['patch_embed1.proj.weight'])
    assert torch.equal(loaded['layers.3.1.1.ffn.layers.4.weight'][:, :, 0, 0], b0['block4.1.mlp.fc2.weight'])
    saved = torch.load(target, weights_only=True)
    assert sorted(saved['state_dict']) == sorted(loaded)
    assert (saved['meta']['arch'], saved['meta']['source']) == ('b0', 'mit_b0.pth')
    content = json.loads(report.read_text())
    assert (content['ok'], content['arch'], content['counts']['left_over']) == (True, 'b0', 2)
    printed = capsys.readouterr().out
    assert all(name in printed for name in b0)
    assert 'ImageNet classifier' in printed


def test_safetensors_in_and_out(tmp_path, b0):
    save_file(b0, tmp_path / 'model.safetensors')
    target = tmp_path / 'mmseg.safetensors'
    assert tool.main([str(tmp_path / 'model.safetensors'), str(target), '--arch', 'b0']) == 0
    assert torch.equal(load_file(target)['layers.0.2.weight'], b0['norm1.weight'])


def fail(argv, capsys) -> str:
    """Runs the tool, which must fail with one line on standard error."""
    assert tool.main([str(each) for each in argv]) == 1
    message = capsys.readouterr().err
    assert message.startswith('error: ')
    assert 'Fix: ' in message
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ('change', 'argv', 'message'),
    [
        ({'block1.1.attn.q.weight': None}, [], "tensor 'block1.1.attn.q.weight' of shape (32, 32) is missing"),
        ({'norm2.bias': torch.ones(3)}, [], "tensor 'norm2.bias' has shape (3,), b0 needs (64,)"),
        ({}, ['--arch', 'b1'], 'b1 needs'),
        ({'block5': torch.ones(1), 'block4.2.norm1.weight': torch.ones(256)}, [], 'block4.2.norm1.bias'),
    ],
)
def test_incomplete_source_writes_nothing(tmp_path, b0, capsys, change, argv, message):
    weights = {name: tensor for name, tensor in (b0 | change).items() if tensor is not None}
    source, target, report = tmp_path / 'w.pth', tmp_path / 'mmseg.pth', tmp_path / 'report.json'
    torch.save(weights, source)
    target.write_text('old')
    text = fail([source, target, '--report', report, *argv], capsys)
    assert message in text
    assert str(source) in text
    assert target.read_text() == 'old'
    assert json.loads(report.read_text())['ok'] is False
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['mmseg.pth', 'report.json', 'w.pth']


def test_unpublished_depth_has_to_be_asked_for(tmp_path, b0, capsys):
    """A file that lost whole blocks must not pass as a shallower network."""
    source, target = tmp_path / 'w.pth', tmp_path / 'mmseg.pth'
    torch.save({name: tensor for name, tensor in b0.items() if not name.startswith('block4.1.')}, source)
    assert 'is none of the published' in fail([source, target], capsys)
    assert not target.exists()
    assert tool.main([str(source), str(target), '--arch', 'custom']) == 0
    assert target.exists()


def test_hostile_truncated_and_foreign_files(tmp_path, b0, capsys):
    class Canary:
        def __reduce__(self):
            return (exec, (f'open({str(tmp_path / "canary")!r}, "w")',))

    torch.save({'state_dict': b0, 'x': Canary()}, tmp_path / 'evil.pth')
    assert 'refused' in fail([tmp_path / 'evil.pth', tmp_path / 'o.pth'], capsys)
    assert not (tmp_path / 'canary').exists()
    torch.save(b0, tmp_path / 'cut.pth')
    content = (tmp_path / 'cut.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(content[: len(content) // 2])
    assert 'truncated or damaged' in fail([tmp_path / 'cut.pth', tmp_path / 'o.pth'], capsys)
    torch.save({'fc.weight': torch.ones(2)}, tmp_path / 'other.pth')
    assert 'other.pth: none of the 1 tensors' in fail([tmp_path / 'other.pth', tmp_path / 'o.pth'], capsys)
    assert 'no such file' in fail([tmp_path / 'gone.pth', tmp_path / 'o.pth'], capsys)
    assert not (tmp_path / 'o.pth').exists()


def test_source_is_never_overwritten(tmp_path, b0, capsys):
    torch.save(b0, tmp_path / 'w.pth')
    before = (tmp_path / 'w.pth').read_bytes()
    assert 'is the source itself' in fail([tmp_path / 'w.pth', tmp_path / '.' / 'w.pth'], capsys)
    assert (tmp_path / 'w.pth').read_bytes() == before
