"""Renaming rules and the report that accounts for every tensor."""

import io
import json

import pytest
import torch
from rich.console import Console

from mmext.common.weight_conversion import ConversionReport, Rule, apply_rules, constant_rule


@pytest.fixture
def source() -> dict[str, torch.Tensor]:
    return {
        'same': torch.arange(3.0),
        'old': torch.arange(4.0),
        'q': torch.full((1, 2), 1.0),
        'kv': torch.full((2, 2), 2.0),
        'head': torch.ones(5),
    }


RULES = [
    Rule('same', {'same': (3,)}),
    Rule('new', {'old': (4,)}),
    Rule('qkv', {'q': (1, 2), 'kv': (2, 2)}, lambda *parts: torch.cat(parts), 'concatenate'),
    constant_rule('var', (2,), 0.5, 'not in the source'),
]


def run(source, rules=RULES, reason=None):
    report = ConversionReport(layout='theirs', arch='tiny')
    return apply_rules(source, rules, report, reason), report


def test_every_kind_by_hand(source):
    converted, report = run(source, reason=lambda name: 'classifier' if name == 'head' else '')
    assert list(converted) == ['same', 'new', 'qkv', 'var']
    assert converted['qkv'].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert converted['var'].tolist() == [0.5, 0.5]
    assert report.ok
    assert report.error('f') == ''
    assert report.matched == ['same']
    assert [(each.sources, each.target, each.note) for each in report.renamed] == [
        (('old',), 'new', ''),
        (('q', 'kv'), 'qkv', 'concatenate'),
    ]
    assert [each.target for each in report.added] == ['var']
    assert [(each.source, each.shape, each.reason) for each in report.left_over] == [('head', (5,), 'classifier')]
    assert report.summary() == 'theirs -> tiny: 1 matched, 2 renamed, 1 added, 1 left over, 0 missing, 0 mismatched'


def test_a_matched_name_with_changed_content_is_not_called_matched(source):
    _, report = run(source, [Rule('same', {'same': (3,)}, torch.neg, 'negated')])
    assert report.matched == []
    assert report.renamed[0].note == 'negated'


@pytest.mark.parametrize('lost', ['same', 'old', 'q', 'kv'])
def test_missing_tensor(source, lost):
    del source[lost]
    converted, report = run(source)
    assert not report.ok
    assert [each.source for each in report.missing] == [lost]
    assert report.missing[0].target not in converted
    message = report.error('weights.pth')
    assert message.startswith(f"weights.pth: tensor '{lost}' of shape {report.missing[0].shape} is missing")
    assert 'Fix: ' in message


def test_partner_of_a_missing_tensor_is_left_over_not_lost(source):
    del source['kv']
    _, report = run(source)
    assert 'q' in [each.source for each in report.left_over]


def test_wrong_shape(source):
    source['old'] = torch.zeros(2, 2)
    converted, report = run(source)
    assert not report.ok
    assert 'new' not in converted
    assert report.error('w.pth').startswith("w.pth: tensor 'old' has shape (2, 2), tiny needs (4,). Fix: ")


def test_one_error_counts_the_others(source):
    _, report = run({'head': source['head']})
    assert len(report.missing) == 4
    assert '(and 3 more tensors, see the table)' in report.error('w.pth')


def test_every_source_tensor_is_in_exactly_one_list(source):
    source['old'] = torch.zeros(2, 2)
    del source['q']
    _, report = run(source)
    listed = report.matched + [name for each in report.renamed for name in each.sources]
    listed += [each.source for each in report.left_over] + [each.source for each in report.mismatched]
    assert sorted(listed) == sorted(source)


def test_nothing_to_do():
    converted, report = run({}, [])
    assert converted == {}
    assert report.ok
    assert not any(report.counts.values())


def test_json_and_table_hold_every_tensor(source):
    del source['kv']
    source['old'] = torch.zeros(2, 2)
    _, report = run(source)
    content = json.loads(report.to_json())
    assert content['ok'] is False
    assert content['counts'] == report.counts
    assert content['mismatched'] == [{'source': 'old', 'target': 'new', 'found': [2, 2], 'expected': [4]}]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(report.table())
    text = console.export_text()
    for name in ('same', 'old', 'q', 'kv', 'head', 'var', 'new', 'qkv'):
        assert f' {name} ' in text
