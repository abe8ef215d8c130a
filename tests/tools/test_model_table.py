"""The tool, called as a user calls it: the published ViT rows are met exactly."""

import json

import pytest


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/model_table.py').main


CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmext.classification.models'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ReportViT', img_size=32, patch_size=2, {settings}),
    head=dict(type='VisionTransformerClsHead', num_classes=100, in_channels={width}))
"""
PUBLISHED = """
- {report: vit, table: Table 2, model: '256', config: configs/small.py, metrics: {}}
- {report: vit, table: Table 3, model: ViT-small, config: configs/small.py,
   metrics: {params: 4.97 M, flops: 5.55 M, pass_size: 48.16 MB}}
- {report: vit, table: Table 3, model: ViT-large, config: configs/large.py,
   metrics: {params: 10.64 M, flops: 11.37 M, pass_size: 72.63 MB}}
"""


@pytest.fixture
def project(tmp_path):
    """Two networks of the report, and its table; the arguments that name them."""
    (tmp_path / 'configs').mkdir()
    small, large = tmp_path / 'configs' / 'small.py', tmp_path / 'configs' / 'large.py'
    small.write_text(CONFIG.format(settings='', width=192))
    large.write_text(CONFIG.format(settings='embed_dims=240, feedforward_channels=1464, num_heads=6', width=240))
    (tmp_path / 'published.yml').write_text(PUBLISHED)
    return [str(small), str(large), '--published', str(tmp_path / 'published.yml'), '--root', str(tmp_path)]


def test_table_3_is_reproduced_exactly(main, project, tmp_path, capsys):
    files = ['--json', str(tmp_path / 'o' / 't.json'), '--markdown', str(tmp_path / 'o' / 't.md')]
    assert main([*project, *files]) == 0
    screen = capsys.readouterr().out
    for figure in ('4.97', '5.55', '48.16', '10.64', '11.37', '72.63'):
        assert f'{figure} exact' in screen
    assert 'once per image instead of once per token' in ' '.join(screen.split())
    content = json.loads((tmp_path / 'o' / 't.json').read_text())
    small, large = content['rows']
    assert (small['params'], large['params']) == (4_965_412, 10_636_468)
    for row in (small, large):
        assert all(figure['exact'] for figure in row['published'].values())
        assert len(row['published']) == 3
        # 257 tokens, of which torchinfo sees one, and the products of attention, of which it sees none
        assert row['macs_per_published_flop'] > 230
        assert row['uncounted_operators'] == []
    lines = (tmp_path / 'o' / 't.md').read_text().splitlines()
    assert lines[2].startswith('| ViT-small |')
    assert lines[-1] == content['note']


def test_options_and_shape(main, project, tmp_path, capsys):
    target = tmp_path / 't.json'
    options = ['--cfg-options', 'model.backbone.num_layers=1', '--shape', '16', '16', '--json', str(target)]
    assert main([project[0], *options]) == 0
    (row,) = json.loads(target.read_text())['rows']
    assert row['size_hw'] == [16, 16]
    assert row['params'] < 1_000_000
    assert row['published'] == {}
    assert 'exact' not in capsys.readouterr().out.partition('The published')[0]


def test_problems_are_one_line(main, project, tmp_path, capsys):
    assert main([str(tmp_path / 'none.py')]) == 1
    assert 'none.py: no such config file' in capsys.readouterr().err
    assert main([project[0], '--published', str(tmp_path / 'none.yml')]) == 1
    assert 'none.yml' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
