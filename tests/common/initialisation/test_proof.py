"""The table, its text for the log, and the plain values of an initialisation."""

import json

import pytest

from mmext.common.initialisation.parts import FileProof, FileUse, TensorProof, listed, percent
from mmext.common.initialisation.proof import InitialisationProof

FILE = FileProof(
    'torchvision://resnet50',
    '/cache/r50.pth',
    'ab' * 32,
    1234,
    '',
    ['stem.weight', 'block.weight', 'fc.weight', 'fc.bias', 'ema.decay'],
    [FileUse('backbone', '', 'init_cfg', idle=False)],
    {'stem.weight', 'block.weight'},
    {'fc.weight', 'fc.bias'},
)


def tensor(name: str, *shape: int, **facts) -> TensorProof:
    if facts.get('status') == 'loaded':
        facts |= dict(file=FILE, file_name=name.removeprefix('backbone.'))
    return TensorProof(name, shape, **facts)


@pytest.fixture
def proof() -> InitialisationProof:
    """10 + 30 values loaded and 60 not; a buffer; a head of 100 values of which nothing is loaded."""
    return InitialisationProof(
        [
            tensor('backbone.stem.weight', 2, 5, status='loaded', frozen=True),
            tensor('backbone.stem.mean', 7, is_parameter=False, status='missing', frozen=True),
            tensor('backbone.block.weight', 30, status='loaded'),
            tensor('backbone.last.weight', 60, status='missing'),
            tensor('head.weight', 100),
        ],
        [FILE],
    )


def test_shares_count_the_values_of_parameters(proof):
    assert proof.module('backbone').share == 0.4
    assert proof.module('').share == 0.2
    assert proof.module('head').share == 0
    assert proof.module('backbone.stem').share == 1
    assert proof.module('backbone.stem.mean').share == 0  # no parameters: counted by tensors


def test_a_module_of_mixed_origin_is_split(proof):
    assert [module.name for module in proof.modules()] == ['backbone.stem', 'backbone.block', 'backbone.last', 'head']


def test_a_module_whose_parts_are_alike_is_one_row(proof):
    whole = InitialisationProof([each for each in proof.tensors if each.status == 'loaded'], [FILE])
    assert [module.name for module in whole.modules()] == ['backbone']
    assert [module.name for module in InitialisationProof([], []).modules()] == []


def test_the_rows_account_for_every_tensor_once(proof):
    names = [each.name for module in proof.modules() for each in module.tensors]
    assert names == [each.name for each in proof.tensors]


def test_names_are_matched_by_whole_words(proof):
    both = InitialisationProof([tensor('layer1.weight', 1), tensor('layer10.weight', 2)], [])
    assert [each.name for each in both.module('layer1').tensors] == ['layer1.weight']


def test_unknown_modules_name_similar_ones(proof):
    with pytest.raises(ValueError, match=r"'backbone.stm': .* did you mean backbone.stem"):
        proof.module('backbone.stm')
    with pytest.raises(ValueError, match='did you mean backbone, head'):
        proof.module('zzz')


def test_names_that_are_left_over_in_the_file(proof):
    assert proof.unexpected(FILE) == ['fc.weight', 'fc.bias']
    assert proof.other_names(FILE) == ['ema.decay']


def test_text(proof):
    lines = proof.text().splitlines()
    rows = {words[0]: words for words in map(str.split, lines) if words}
    assert rows['backbone.stem'] == ['backbone.stem', '1/2', '10', '100.0', '%', '0', '10', '1', 'missing', '[1]']
    assert rows['head'] == ['head', '0/1', '100', '0.0', '%', '100', '0', '1', 'random']
    assert rows['all'] == ['all', '2/5', '200', '20.0', '%', '190', '10', '2', 'missing,', '1', 'random', '[1]']
    text = '\n'.join(lines)
    assert '[1] torchvision://resnet50, into backbone by init_cfg' in text
    assert 'file /cache/r50.pth' in text
    assert f'SHA-256 {"ab" * 32}, 1,234 bytes, 5 tensors' in text
    assert '2 unexpected: fc.weight, fc.bias' in text
    assert 'backbone.stem.mean, backbone.last.weight' in text
    assert all(len(line) <= 160 for line in lines[:8])


def test_text_of_nothing():
    assert 'all' in InitialisationProof([], []).text()


def test_plain_values(proof):
    content = json.loads(json.dumps(proof.to_dict()))
    assert content['total'] == dict(
        name='',
        tensors=5,
        tensors_loaded=2,
        parameters=200,
        parameters_loaded=40,
        share_loaded=0.2,
        trained=190,
        frozen=10,
        tensors_trained=3,
        tensors_frozen=1,
        not_loaded=dict(missing=2, random=1),
        files=['torchvision://resnet50'],
    )
    assert content['files'][0]['sha256'] == 'ab' * 32
    assert content['files'][0]['uses'] == [dict(module='backbone', prefix='', origin='init_cfg', idle=False)]
    assert [each['name'] for each in content['not_loaded']] == [
        'backbone.stem.mean',
        'backbone.last.weight',
        'head.weight',
    ]
    assert content['renamed'] == []


def test_hundred_percent_means_all():
    assert percent(1) == '100.0 %'
    assert percent(0.99999) == '99.9 %'
    assert percent(0) == '0.0 %'


def test_long_lists_are_cut():
    assert listed(['a', 'b', 'c']) == 'a, b, c'
    assert listed(['a', 'b', 'c', 'd', 'e']) == 'a, b, c and 2 more'
