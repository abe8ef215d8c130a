"""tools/prepare/convert_vit.py from file to file, as a user calls it."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import mmpretrain.models
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
from safetensors.torch import load_file, save_file

assert mmpretrain.models  # imported for the models it registers
CONVERTERS = Path(__file__).resolve().parents[1] / 'classification' / 'converters'
REF = SimpleNamespace(**runpy.run_path(str(CONVERTERS / 'vit_reference.py')))
IMAGES = torch.rand(2, 3, REF.PX, REF.PX, generator=torch.Generator().manual_seed(0))
SIZES = dict(embed_dims=REF.WIDTH, num_layers=REF.DEPTH, num_heads=REF.HEADS, feedforward_channels=REF.HIDDEN)
CUSTOM = ['--custom', '--num-heads', REF.HEADS]


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """Other toolboxes have a VisionTransformer too, and the default scope is one for the whole process."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('prepare/convert_vit.py')


@pytest.fixture(scope='module')
def timm() -> dict[str, torch.Tensor]:
    return REF.fill(REF.timm_shapes())


def run(tool, *argv) -> int:
    return tool.main([str(each) for each in argv])


def fail(tool, argv, capsys) -> str:
    """Runs the tool, which must fail with one line on standard error."""
    assert run(tool, *argv) == 1
    message = capsys.readouterr().err
    assert message.startswith('error: ')
    assert 'Fix: ' in message
    assert len(message.splitlines()) == 1
    return message


def classifier(px: int = REF.PX, classes: int = REF.CLASSES, **backbone):
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='VisionTransformer', arch=SIZES, img_size=px, patch_size=REF.PATCH, **backbone),
            head=dict(type='VisionTransformerClsHead', num_classes=classes, in_channels=REF.WIDTH),
        )
    )


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        model.eval()
        return model.head(model.extract_feat(IMAGES))


def test_a_training_checkpoint_of_timm(tool, tmp_path, timm, capsys):
    """With the parallel prefix, and optimiser state beside the weights."""
    source, target, report = tmp_path / 'best.pth', tmp_path / 'new' / 'vit.pth', tmp_path / 'r' / 'r.json'
    torch.save(dict(state_dict={f'module.{n}': t for n, t in timm.items()}, optimizer=dict(state={})), source)
    assert run(tool, source, target, *CUSTOM, '--report', report) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in timm)
    assert "Config: backbone={'type': 'VisionTransformer'" in printed
    model = classifier()
    load_checkpoint(model, str(target), strict=True)
    assert torch.allclose(logits(model), REF.timm_forward(timm, IMAGES), atol=1e-5)
    content = json.loads(report.read_text())
    assert content['counts'] == dict(matched=0, renamed=len(timm), added=0, left_over=0, missing=0, mismatched=0)
    assert torch.load(target, weights_only=True)['meta']['source'] == 'best.pth'


def test_the_authors_file_for_finetuning_on_larger_pictures(tool, tmp_path, capsys):
    """Positions resized, the classifier of the wrong size left out and named; loads through init_cfg."""
    source, target = tmp_path / 'B_16.npz', tmp_path / 'vit.pth'
    arrays = {name: REF.random_array(name, shape) for name, shape in REF.jax_shapes().items()}
    np.savez(source, **arrays)
    px = 5 * REF.PATCH
    assert run(tool, source, target, '--custom', '--img-size', px, '--num-classes', 2) == 0
    printed = capsys.readouterr().out
    assert printed.count('classifier of 5 classes, 2 are asked for') >= 2
    assert 'resize 3x3 positions to 5x5, bicubic' in printed
    model = classifier(px, 2, init_cfg=dict(type='Pretrained', checkpoint=str(target), prefix='backbone.'))
    model.init_weights()
    saved = torch.load(target, weights_only=True)['state_dict']
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in saved.items())
    assert np.array_equal(
        saved['backbone.layers.1.attn.proj.weight'].numpy(),
        arrays['Transformer/encoderblock_1/MultiHeadDotProductAttention_1/out/kernel'].reshape(12, 12).T,
    )
    assert not any(name.startswith('head.') for name in saved)


def test_bare_names_from_hugging_face(tool, tmp_path):
    source, target = tmp_path / 'model.safetensors', tmp_path / 'vit.safetensors'
    save_file(REF.fill(REF.hugging_face_shapes()), source)
    assert run(tool, source, target, *CUSTOM, '--backbone-only') == 0
    classifier().backbone.load_state_dict(load_file(target), strict=True)


def test_sizes_that_were_never_published_have_to_be_asked_for(tool, tmp_path, timm, capsys):
    torch.save(timm, tmp_path / 'w.pth')
    assert 'was never published' in fail(tool, [tmp_path / 'w.pth', tmp_path / 'out.pth'], capsys)
    assert not (tmp_path / 'out.pth').exists()


def test_incomplete_file_writes_nothing_but_the_report(tool, tmp_path, timm, capsys):
    source, target, report = tmp_path / 'w.pth', tmp_path / 'out.pth', tmp_path / 'r.json'
    torch.save({name: tensor for name, tensor in timm.items() if name != 'blocks.1.attn.qkv.bias'}, source)
    target.write_text('old')
    message = fail(tool, [source, target, '--custom', '--report', report], capsys)
    assert f"{source}: tensor 'blocks.1.attn.qkv.bias' of shape (36,) is missing" in message
    assert target.read_text() == 'old'
    assert json.loads(report.read_text())['ok'] is False


def test_hostile_and_foreign_files(tool, tmp_path, capsys):
    class Canary:
        def __reduce__(self):
            return (exec, (f'open({str(tmp_path / "canary")!r}, "w")',))

    source, target = tmp_path / 'w.npz', tmp_path / 'out.pth'
    np.savez(source, cls=np.array([Canary()], dtype=object))
    assert 'refused' in fail(tool, [source, target], capsys)
    assert not (tmp_path / 'canary').exists()
    np.savez(source, conv1=np.ones(2))
    assert 'w.npz: the 1 tensors (conv1, ...) are not named as in a known' in fail(tool, [source, target], capsys)
    assert 'no such file' in fail(tool, [tmp_path / 'gone.npz', target], capsys)
    assert 'is the source itself' in fail(tool, [source, source], capsys)
    assert not target.exists()
