"""What stops a training."""

import pytest

from mmext.common.initialisation import InitialisationProof, problems
from mmext.common.initialisation.parts import FileProof, FileUse, TensorProof


def proof_of(*tensors: TensorProof, files: tuple[FileProof, ...] = ()) -> InitialisationProof:
    return InitialisationProof(tensors, files)


def loaded(name: str, size: int, **facts) -> TensorProof:
    return TensorProof(name, (size,), status='loaded', file=FileProof('w.pth'), file_name=name, **facts)


HALF = proof_of(loaded('backbone.a', 50), TensorProof('backbone.b', (50,), status='missing'), loaded('neck.a', 100))


@pytest.mark.parametrize(
    'least', [None, {}, dict(backbone=None), 0.75, dict(backbone=0.5), dict(neck=1), {'backbone': 0.5, 'neck.a': 1.0}]
)
def test_enough_is_loaded(least):
    assert problems(HALF, least) == []


def test_too_little_is_loaded():
    (of_all,) = problems(HALF, 0.76)
    assert of_all.startswith('the model: 75.0 % of the parameters are loaded, min_loaded asks for 76.0%')
    (of_module,) = problems(HALF, dict(backbone=0.51, neck=1))
    assert of_module.startswith('backbone: 50.0 %')
    assert 'missing (the file that should fill the module has no such tensor): backbone.b' in of_module
    assert 'Fix: ' in of_module


def test_an_unreadable_file_is_named_as_the_reason():
    tensor = TensorProof('a', (1,), status='unproven', file=FileProof('w.pth', error='w.pth: no such file.'))
    (found,) = problems(proof_of(tensor), 1.0)
    assert 'w.pth: no such file.' in found


def test_unknown_module():
    with pytest.raises(ValueError, match='did you mean backbone'):
        problems(HALF, dict(bakbone=1))


def test_random_and_frozen():
    tensors = [TensorProof('backbone.a', (1,), frozen=True), TensorProof('head.b', (1,)), loaded('c', 1, frozen=True)]
    (found,) = problems(proof_of(*tensors), None)
    assert found.startswith('random and frozen: backbone.a: ')
    assert problems(proof_of(*tensors), None, ['backbone']) == []
    assert problems(proof_of(*tensors), None, ['backbone.a']) == []
    assert len(problems(proof_of(*tensors), None, ['back'])) == 1


@pytest.mark.parametrize('status', ['missing', 'shape', 'changed'])
def test_what_was_not_loaded_must_not_be_frozen_either(status):
    assert len(problems(proof_of(TensorProof('a', (1,), frozen=True, status=status)), None)) == 1


def test_what_cannot_be_read_is_not_called_random():
    assert problems(proof_of(TensorProof('a', (1,), frozen=True, status='unproven', file=FileProof('w'))), None) == []


@pytest.mark.parametrize(
    ('names', 'fix'),
    [
        (['net.conv.weight', 'net.fc.bias'], "prefix='net.'"),
        (['other.bias'], 'give a file of this architecture'),
    ],
)
def test_a_file_without_effect(names, fix):
    file = FileProof('w.pth', names=names, uses=[FileUse('backbone', '', 'init_cfg', idle=True)])
    proof = proof_of(TensorProof('backbone.conv.weight', (1,), status='missing', file=file), files=(file,))
    (found,) = problems(proof, None)
    assert found.startswith(f'w.pth: nothing of it was loaded into backbone (init_cfg); it holds {names[0]}')
    assert fix in found
