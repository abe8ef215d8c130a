"""The page as a whole: what it says of runs, and that its three forms say the same."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mmext.analysis.published import Figure, read_published
from mmext.analysis.recipe_table import Count
from mmext.analysis.report import content, write
from mmext.analysis.report.costs import Costs
from mmext.analysis.report.matching import printed
from mmext.analysis.report.run_reader import read_all
from mmext.analysis.report.write import write_report
from mmext.analysis.speed.records import SpeedRecord, Timing
from mmext.common.image_scores import sparse, write_image_scores

STEM = 'toy_1xb4-100i_roads-8x6'
CONFIG = f'configs/toy/{STEM}.py'


@pytest.fixture
def report(project, tmp_path):
    """Write the page of some runs; the folder."""

    def make(*paths, speed=(), counts=None, **settings):
        rows, costs = read_published(project / 'published.yml'), Costs(speed, counts or {}, 'counts.json')
        written = write_report(read_all(paths), rows, costs, tmp_path / 'out', project, **settings)
        assert [str(problem) for problem in written.problems] == []
        return tmp_path / 'out'

    return make


def rows_of(out, table: str) -> list[dict]:
    with (out / 'report.csv').open(encoding='utf-8') as file:
        return [row for row in csv.DictReader(file) if row['table'] == table]


def test_without_runs_every_row_says_so(report):
    out = report()
    rows = rows_of(out, 'roads, Table 1')
    assert {row['text'] for row in rows if row['column'] == 'state'} == {'not run', 'not counted'}
    assert [row['text'] for row in rows if row['column'] == 'published'] == ['0.5000', '80.00', '34', '1.5', '0.6000']
    assert all(row['text'] == '–' for row in rows if row['column'] in ('ours', 'best', 'difference'))
    text = (out / 'report.md').read_text()
    assert f'[Toy, small](../project/{CONFIG})' in text
    assert 'the text says 0.4613' in text
    assert 'Nothing printed' in text


def test_a_reproduction_and_where_its_numbers_come_from(report, make_run):
    out = report(make_run('a', {50: {'mIoU': 52.0, 'aAcc': 81.0}, 100: {'mIoU': 51.25, 'aAcc': 79.5}}))
    rows = rows_of(out, 'roads, Table 1')
    by_column = {column: [row for row in rows if row['column'] == column] for column in ('ours', 'best', 'difference')}
    assert [row['text'] for row in by_column['ours']][:2] == ['0.5125', '79.50']
    assert [row['text'] for row in by_column['best']][:2] == ['0.5200', '81.00']
    assert [row['text'] for row in by_column['difference']][:2] == ['+0.0125', '-0.50']
    assert by_column['ours'][0]['source'] == 'a, validation at iteration 100'
    assert by_column['best'][0]['source'] == 'a, best validation, at iteration 50'
    page = (out / 'report.html').read_text()
    assert '<span title="a, validation at iteration 100">0.5125</span>' in page
    assert '<a href="#run-a">' in page
    assert '<section id="run-a">' in page


@pytest.mark.parametrize(
    ('settings', 'last', 'state'),
    [
        ({'val_dataloader.dataset.data_root': 'data/samples/x'}, 100, 'sample'),
        ({'train_dataloader.batch_size': 2}, 100, 'other settings'),
        ({}, 50, 'unfinished'),
    ],
)
def test_no_other_run_has_a_difference(report, make_run, settings, last, state):
    out = report(make_run('a', {50: {'mIoU': 50.5, 'aAcc': 81.0}}, settings, last=last))
    rows = rows_of(out, 'roads, Table 1')
    assert {row['text'] for row in rows if row['column'] == 'difference'} == {'–'}
    assert [row['text'] for row in rows if row['column'] == 'state'][:2] == [state] * 2
    assert next(row['text'] for row in rows if row['column'] == 'ours') == '0.5050'
    assert 'Why this is no reproduction' in (out / 'report.md').read_text()


def test_several_seeds_stand_beside_each_other(report, make_run):
    runs = [make_run(f's{seed}', {50: {'mIoU': 40.0}, 100: {'mIoU': 50.0 + seed}}, seed=seed) for seed in range(3)]
    out = report(*runs)
    ours = [row['text'] for row in rows_of(out, 'roads, Table 1') if row['column'] == 'ours']
    assert ours[:4] == ['0.5000', '0.5100', '0.5200', '0.5100 ± 0.0100']
    assert [row['row'] for row in rows_of(out, f'runs of {STEM}') if row['column'] == 'seed'] == ['s0', 's1', 's2']
    assert (out / 'pictures' / f'{STEM}-runs-metrics.png').is_file()


def test_a_run_shows_its_curves_classes_pictures_and_origin(report, make_run):
    path = make_run('a', {50: {'mIoU': 30.0, 'IoU.road': 61.5}, 100: {'mIoU': 51.0, 'IoU.road': 62.5}}, seed=11)
    start = path / '20260101_120000'
    record = {
        'commit': 'abcdef',
        'dirty': False,
        'command': 'train.py x',
        'versions': {'torch': '2.10.0'},
        'threads': 1,
    }
    (start / 'run.json').write_text(json.dumps(record))
    (path / 'data_check.json').write_text('{"data_hash": "full:123"}')
    (start / 'vis_data' / 'vis_image' / 'val_b_100.png').write_bytes(b'broken')
    out = report(path)
    facts = {row['row']: row['text'] for row in rows_of(out, 'a, facts') if row['column'] == 'value'}
    assert (facts['seed'], facts['data hash'], facts['commit'], facts['torch']) == (
        '11',
        'full:123',
        'abcdef',
        '2.10.0',
    )
    assert facts['state'] == 'finished, 100 iterations'
    classes = rows_of(out, 'a, classes, validation, at iteration 100')
    assert [(row['row'], row['text']) for row in classes if row['column'] == 'IoU'] == [('road', '62.50')]
    names = {file.name for file in (out / 'pictures').iterdir()}
    # Of the last validation only; the broken one is a placeholder.
    assert names == {'a-losses.png', 'a-lr.png', 'a-metrics.png', 'a-prediction-0.jpg'}
    text = (out / 'report.md').read_text()
    assert '`val_b_100.png`: cannot be read' in text
    assert all((out / name).is_file() for name in re.findall(r'\]\((pictures/[^)]+)\)', text))
    page = (out / 'report.html').read_text()
    assert page.count('prefers-color-scheme: dark)" srcset="data:image/png') == 3
    # An earlier page leaves no pictures behind.
    shutil.rmtree(start / 'vis_data' / 'vis_image')
    report(path)
    assert not (out / 'pictures' / 'a-prediction-0.jpg').exists()


def test_classes_come_from_the_images_where_they_are_kept(report, make_run):
    path = make_run('a', {100: {'mIoU': 50.0, 'IoU.road': 33.0, 'IoU.traffic_light': 50.0}})
    # Road: 6 of 8 pixels found, 1 wrongly: IoU 6 / 9. Light: 3 of 4, 2 wrongly: 3 / 6.
    rows = [('x/1.png', sparse(np.array([[6, 2], [1, 3]])))]
    write_image_scores(path / '20260101_120000' / 'image_scores_val.jsonl', ['road', 'traffic light'], rows)
    found = rows_of(report(path), 'a, classes, validation, at iteration 100')
    assert [row['text'] for row in found if row['column'] == 'IoU'] == ['66.67', '50.00']
    assert [row['text'] for row in found if row['column'] == '% of pixels'] == ['66.67', '33.33']


def record(**settings) -> SpeedRecord:
    known = dict(config=CONFIG, shape_hw=(64, 96), batch=1, device='cpu', precision='fp32', compiled=False)
    timing = Timing(p50_ms=41.5, p95_ms=44.25, images_per_s=24.1, repeats=10)
    return SpeedRecord(
        **known, channels_last=False, timestamp='2026-01-01T00:00:00', network=timing, params=4_935_000,
        macs=1_501_000_000, device_name='Some CPU 3.2GHz', threads=2, peak_memory_bytes=300 * 2**20,
        path=Timing(60.25, 70.5, 16.6, 10), stages={'decode': Timing(3.5, 4.0, 285.7, 10), 'network': timing},
    )  # fmt: skip


def test_the_speed_card_stands_beside_the_published_figures(report):
    out = report(speed=[record()])
    rows = rows_of(out, 'roads, Table 1')
    states = {row['text'] for row in rows if row['column'] == 'state'}
    assert {'counted', 'another machine'} < states
    ours = [row['text'] for row in rows if row['column'] == 'ours']
    assert {'41.50', '1.501'} < set(ours)
    # Times of another machine have no difference; counts have.
    assert [row['text'] for row in rows if row['column'] == 'difference' and row['text'] != '–'] == ['+0.001']
    card = {row['column']: row['text'] for row in rows_of(out, 'speed card')}
    assert (card['network p95, ms'], card['parameters, M'], card['memory, MB']) == ('44.2', '4.935', '300')
    assert (card['whole path p50, ms'], card['decode, ms'], card['postprocess, ms']) == ('60.2', '3.5', '–')


def test_counts_come_before_the_speed_card_at_the_published_size_only(report):
    row = ('roads', 'Toy, small', CONFIG)
    out = report(speed=[record()], counts={row: Count(4_935_000, 4_900_000, 1_490_000_000, (64, 96))})
    (line,) = [row for row in rows_of(out, 'roads, Table 1') if row['text'] == '1.490']
    assert (line['column'], line['source']) == ('ours', 'counts.json')
    report(speed=[record()], counts={row: Count(4_935_000, 4_900_000, 1_490_000_000, (64, 64))})
    assert {'1.490', '1.501'} & {row['text'] for row in rows_of(out, 'roads, Table 1')} == {'1.501'}


def test_a_difference_that_rounds_to_nothing_has_no_minus():
    assert printed(-0.0004, Figure('1.500', 'raw'), '+') == '+0.000'
    assert printed(-0.0006, Figure('1.500', 'raw'), '+') == '-0.001'


def test_missing_pieces_never_stop_the_page(report, make_run):
    whole, bare = make_run('whole', {100: {'mIoU': 50.0}}), make_run('bare', {})
    start = bare / '20260101_120000'
    for file in [*start.rglob('*'), *bare.glob('*.py')]:
        if file.is_file():
            file.unlink()
    text = (report(whole, bare) / 'report.md').read_text()
    assert 'What is missing or odd' in text
    assert 'nothing trained yet' in text


def test_hostile_names_are_shown_and_not_run(report, make_run):
    path = make_run('a', {100: {'mIoU': 50.0, 'IoU.<script>alert(1)</script>': 40.0}})
    renamed = path.with_name('<img src=x onerror=alert(1)> | "x"')
    path.rename(renamed)
    out = report(renamed)
    page = (out / 'report.html').read_text()
    assert '<img src=x' not in page
    assert '<script>alert' not in page
    assert page.count('<script>') == 1
    tables = [line for line in (out / 'report.md').read_text().splitlines() if line.startswith('| [`<img')]
    assert tables
    assert len({len(re.split(r'(?<!\\)\|', line)) for line in tables}) <= 2


def test_the_page_itself_is_checked(project, make_run, tmp_path, monkeypatch):
    """Numbers that the program would put there by itself are found, in prose and in tables."""
    monkeypatch.setattr(content, 'LEAD', 'The best run of all reaches 97.31 percent.')
    monkeypatch.setattr(content, '_printed', lambda run, name, value: f'{value + 0.3:.2f}')
    runs, rows = read_all([make_run('a', {100: {'mIoU': 50.0}})]), read_published(project / 'published.yml')
    problems = write_report(runs, rows, Costs(), tmp_path / 'out', project).problems
    assert {'97.31', '50.30'} == {problem.number for problem in problems}
    assert {problem.file.rsplit('.', 1)[-1] for problem in problems} == {'md', 'html'}


def test_a_run_that_lies_about_nothing_else_is_known(project, make_run):
    """What is known comes from the files, not from what is shown."""
    run = read_all([make_run('a', {100: {'mIoU': 50.0}})])[0]
    results = content.Results([], [replace(run, label='b')], [], Costs(), {})
    assert {known.value for known in write.known_numbers(results)} >= {50.0, 100.0}


def test_the_page_works_on_a_desk_and_on_a_phone(report, make_run, in_page):
    runs = [
        make_run(f's{seed}', {50: {'mIoU': 40.0}, 100: {'mIoU': value}}) for seed, value in enumerate([9.5, 50, 12])
    ]
    page = report(*runs) / 'report.html'
    script = """
        const table = page.querySelector('#runs table');
        const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
        const press = title => [...table.tHead.rows[0].cells]
            .find(cell => cell.textContent.trim() === title).querySelector('button').click();
        const result = {before: names(), wide: page.documentElement.scrollWidth - view.innerWidth,
                        ground: view.getComputedStyle(page.body).backgroundColor,
                        broken: [...page.images].filter(image => image.complete && !image.naturalWidth).length,
                        shown: page.querySelector('figure img').currentSrc.length};
        press('last'); result.up = names(); press('last'); result.down = names();
        result.sorted = table.tHead.querySelector('[aria-sort]').getAttribute('aria-sort');
        return result;"""
    desk = in_page(page, 1200, script, '--blink-settings=preferredColorScheme=1')
    assert desk['before'] == ['s0', 's1', 's2']
    # By value: as text 9.50 would be the largest.
    assert (desk['up'], desk['down'], desk['sorted']) == (['s0', 's2', 's1'], ['s1', 's2', 's0'], 'descending')
    phone = in_page(page, 390, script, '--blink-settings=preferredColorScheme=0')
    assert phone['up'] == desk['up']
    for found in (desk, phone):
        # Tables and figures scroll in their boxes, the page itself does not.
        assert found['wide'] <= 0
        assert found['broken'] == 0
    assert desk['ground'] == 'rgb(255, 255, 255)'
    dark = [int(value) for value in re.findall(r'\d+', phone['ground'])]
    assert max(dark) < 60
    # The dark figure is another picture.
    assert phone['shown'] != desk['shown']
