"""The tool, called as a user calls it."""

import json

import pytest


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/recipe_table.py').main


CONFIG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
crop_size = (32, 48)
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
    # By hand: stem, four stages with their batch norms, 32 x 5 + 5 of the head.
    assert first['params'] == second['params'] == 178 + 608 + 2128 + 8352 + 33088 + 165
    assert first['macs'] > 0
    assert first['deviation'] == pytest.approx(first['macs'] / 1e9 - 1)
    # Without a published size, the one that the config tests at.
    assert (second['size_hw'], second['deviation']) == ([32, 48], None)
    assert 0.2 < second['macs'] / first['macs'] < 0.3
    assert main([*project(first['macs'] / 1e9), '--flops', *files]) == 0
    page = (tmp_path / 'o' / 't.md').read_text()
    expected = f'| mIoU 0.2760 | not trained here | 0.045 M | {first["macs"] / 1e9:.3f} at 64 x 96 |'
    assert f'| [Small [5]](../configs/small.py) {expected}' in page


def test_counts_of_earlier_stand_for_a_count(main, project, tmp_path, capsys):
    counted, shown, page = (tmp_path / name for name in ('counted.json', 'shown.json', 'page.md'))
    assert main([*project(1.0), '--flops', '--json', str(counted)]) == 1
    # They are checked as what was just counted is.
    assert main([*project(1.0), '--counts', str(counted), '--json', str(shown), '--markdown', str(page)]) == 1
    assert 'out of tolerance' in capsys.readouterr().err
    assert counted.read_bytes() == shown.read_bytes()
    assert '0.045 M' in page.read_text()


@pytest.mark.parametrize(
    ('content', 'message'),
    [('{', 'cannot be read'), ('[{"macs": 1}]', 'not of recipe_table.py'), ('[1]', 'not of recipe_table.py')],
)
def test_counts_that_cannot_be_used(main, project, tmp_path, capsys, content, message):
    (tmp_path / 'counts.json').write_text(content)
    assert main([*project(1.0), '--counts', str(tmp_path / 'counts.json')]) == 1
    error = capsys.readouterr().err
    assert 'counts.json' in error
    assert message in error
    assert '--flops --json' in error


def test_recipes_that_no_report_names_come_last(main, project, tmp_path, capsys):
    (tmp_path / 'configs' / '_base_').mkdir()
    for name in ('own', '_base_/part'):
        (tmp_path / 'configs' / f'{name}.py').write_text(CONFIG)
    page = tmp_path / 'page.md'
    assert main([*project(1.0), '--markdown', str(page)]) == 0
    text = page.read_text()
    assert text.index('## one') < text.index('## two') < text.index('## Recipes of our own')
    assert text.count('configs/own.py') == 1
    assert 'part' not in capsys.readouterr().out
    assert main([*project(1.0), '--report', 'mmext']) == 0
    assert 'Small' not in capsys.readouterr().out


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
