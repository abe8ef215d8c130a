"""The tool, called as a user calls it."""

import json

import pytest


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/recipe_table.py').main


CONFIG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, norm_cfg=norm_cfg),
    decode_head=dict(type='FCNHead', in_channels=32, channels=32, num_convs=0, concat_input=False, num_classes=5),
    test_cfg=dict(mode='whole'))
"""
ROW = """- report: {report}
  table: Table 1
  model: {model}
  config: configs/{config}.py
  metrics: {{mIoU: 0.2760 share}}
"""


@pytest.fixture
def project(tmp_path):
    """Two reports, one config that is there and one that is not."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'small.py').write_text(CONFIG)
    published = tmp_path / 'published.yml'

    def write(gmacs, **other):
        rows = ROW.format(report='one', model='Small [5]', config='small')
        rows += f'  gmacs: {{value: {gmacs}, size_hw: [64, 96], tolerance: decimals}}\n'
        rows += '- report: two\n  table: T\n  model: No score\n  config: configs/small.py\n  metrics: {}\n'
        rows += ''.join(ROW.format(report='three', model=name, config=config) for name, config in other.items())
        published.write_text(rows)
        return ['--published', str(published), '--root', str(tmp_path)]

    return write


def test_listing_shows_a_dash_where_nothing_is_published(main, project, capsys):
    assert main(project(1.0)) == 0
    screen = capsys.readouterr().out
    assert 'Small [5]' in screen
    assert 'mIoU 0.2760' in screen
    assert '1 at 64 x 96' in screen
    (line,) = [line for line in screen.splitlines() if 'No score' in line]
    assert [cell.strip() for cell in line.strip('│').split('│')][-3:] == ['-', '-', '-']


def test_counts_stand_beside_the_published_figures(main, project, tmp_path, capsys):
    files = ['--json', str(tmp_path / 'o' / 't.json'), '--markdown', str(tmp_path / 'o' / 't.md')]
    assert main([*project(1.0), '--flops', *files]) == 1
    assert 'configs/small.py: out of tolerance (decimals)' in capsys.readouterr().err
    first, second = json.loads((tmp_path / 'o' / 't.json').read_text())
    assert first['macs'] > 0
    assert first['deviation'] == pytest.approx(first['macs'] / 1e9 - 1)
    assert second['macs'] is None
    assert main([*project(first['macs'] / 1e9), '--flops', *files]) == 0
    lines = (tmp_path / 'o' / 't.md').read_text().splitlines()
    assert len(lines) == 4
    assert f'{first["macs"] / 1e9:.3f} | +0.000 %' in lines[2]


def test_missing_config_and_unknown_report(main, project, capsys):
    arguments = project(1.0, Lost='lost')
    assert main([*arguments, '--report', 'three']) == 1
    captured = capsys.readouterr()
    assert 'configs/lost.py: the config is missing' in captured.err
    assert 'Small' not in captured.out
    assert main([*arguments, '--report', 'one']) == 0
    capsys.readouterr()
    assert main([*arguments, '--report', 'four']) == 1
    assert 'expected one of one, three, two' in capsys.readouterr().err


def test_model_that_cannot_run_is_named(main, project, tmp_path, capsys):
    arguments = project(1.0)
    (tmp_path / 'configs' / 'small.py').write_text("default_scope = 'none'\nmodel = dict()")
    assert main([*arguments, '--flops']) == 1
    assert 'not counted' in capsys.readouterr().err


def test_malformed_file_is_one_line(main, tmp_path, capsys):
    assert main(['--published', str(tmp_path / 'none.yml')]) == 1
    assert 'none.yml' in capsys.readouterr().err


def test_every_row_of_the_reports_has_its_config(main, in_root, capsys):
    assert main([]) == 0
    assert 'cwd_pspnet-r18-d8' in capsys.readouterr().out
