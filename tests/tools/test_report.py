"""The tool, called as a user calls it."""

import json

import pytest


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('report.py').main


CONFIG = """default_scope = 'mmseg'
model = dict(type='Toy')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)
"""
PUBLISHED = """- report: one
  table: Table 1
  model: Toy
  config: configs/toy_1xb1-10i.py
  metrics: {mIoU: 0.5000 share}
"""


@pytest.fixture
def project(tmp_path):
    """A recipe with a published figure, and a finished run of it under another name."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'toy_1xb1-10i.py').write_text(CONFIG)
    (tmp_path / 'published.yml').write_text(PUBLISHED)
    folder = tmp_path / 'runs' / 'mine' / '20260101_120000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'config.py').write_text(CONFIG)
    (folder.parent.parent / 'mine.py').write_text(CONFIG)
    (folder / 'scalars.json').write_text('{"loss": 1.0, "iter": 10, "step": 10}\n{"mIoU": 51.25, "step": 10}\n')
    return tmp_path


@pytest.fixture
def arguments(project):
    return ['--out', str(project / 'out'), '--published', str(project / 'published.yml'), '--root', str(project)]


def test_writes_the_page_in_three_forms(main, project, arguments, capsys):
    run = str(project / 'runs' / 'mine')
    assert main([run, *arguments]) == 0
    assert capsys.readouterr().out.split() == [str(project / 'out' / f'report.{end}') for end in ('html', 'md', 'csv')]
    assert '+0.0125' not in (project / 'out' / 'report.md').read_text()
    assert main([*arguments, '--as', run, 'toy_1xb1-10i']) == 0
    assert '+0.0125' in (project / 'out' / 'report.md').read_text()


def test_a_planted_number_fails(main, project, arguments, capsys):
    readme = project / 'README.md'
    readme.write_text('The toy reaches 51.3 % mIoU.\n')
    checked = [str(project / 'runs' / 'mine'), *arguments, '--check', str(readme)]
    assert main(checked) == 0
    readme.write_text('# Toy\n\nThe toy reaches 51.4 % mIoU.\n')
    assert main(checked) == 1
    assert f'error: {readme}:3: 51.4: no run and no published figure has this number' in capsys.readouterr().err
    assert (project / 'out' / 'report.html').is_file()
    (project / 'counts.json').write_text(json.dumps({'mIoU': 51.4}))
    assert main([*checked, '--known', str(project / 'counts.json')]) == 0


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['configs'], 'configs: no run; expected the work dir'),
        (['nowhere'], 'nowhere: no such folder'),
        (['--as', 'runs/mine', 'other'], '--as other: no published rows'),
        (['--speed', 'none.jsonl'], 'none.jsonl: no such file'),
        (['--check', 'none.md'], 'none.md'),
        (['--check', 'published.yml'], 'published.yml: numbers are checked in .md and .html'),
        (['--known', 'published.yml'], 'published.yml: measurements are read from'),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(main, project, arguments, capsys, monkeypatch, extra, message):
    monkeypatch.chdir(project)
    assert main([*extra, *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_every_published_row_is_on_the_page(main, in_root, tmp_path):
    from mmext.analysis.published import read_published

    assert main(['--out', str(tmp_path)]) == 0
    text = (tmp_path / 'report.md').read_text()
    assert all(row.config in text for row in read_published())


def test_a_card_may_quote_the_settings_of_its_recipes(main, project, arguments, capsys):
    card = project / 'configs' / 'README.md'
    card.write_text('| config | mIoU | iterations |\n| --- | --- | --- |\n| [toy](toy_1xb1-10i.py) | 0.5000 | 10 |\n')
    assert main([*arguments, '--check', str(card)]) == 0
    card.write_text(card.read_text().replace('| 10 |', '| 20 |'))
    assert main([*arguments, '--check', str(card)]) == 1
    assert f'error: {card}:3: 20: ' in capsys.readouterr().err
