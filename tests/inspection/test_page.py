"""The page of a passport, and its plots."""

import io
import re

import numpy as np
import pytest
from matplotlib import rcParams
from PIL import Image

from mmext.common.light_and_dark import light_and_dark
from mmext.inspection import page as page_module
from mmext.inspection import plots
from mmext.inspection.page import write_page
from mmext.inspection.passport import BOX_SIDE_EDGES, Finding, Passport, SplitSummary
from mmext.inspection.scan import inspect_data

CLASSES = ['road', 'car', 'sky']


def summary(**values) -> SplitSummary:
    return SplitSummary(samples=4, class_pixels=[60, 30, 0], class_images=[4, 2, 0], sizes_hw={'40x60': 4}, **values)


def a_passport(findings=(), **values) -> Passport:
    splits = {'train': summary(ignored_pixels=10), 'val': summary()}
    return Passport('segmentation', 'c.py', splits, list(findings), 'ab' * 32, CLASSES, [[9, 9, 9]] * 3, **values)


def texts(source: str) -> str:
    """What the page says, without its pictures."""
    return re.sub(r'data:image/\w+;base64,[\w+/=]+', '', source)


def test_findings_stand_under_their_level_with_message_fix_count_and_files(tmp_path):
    findings = [
        Finding('error', 'size-mismatch', 'the message', 'the fix', ['a.png', 'b.png'], 9, ['2 x 3', ''], 'why', 'val'),
        Finding('note', 'absent-class', 'classes: sky', 'nothing', [], 1),
    ]
    path = write_page(a_passport(findings), tmp_path / 'out', {'workers': 2})
    assert path == tmp_path / 'out' / 'index.html'
    source = texts(path.read_text(encoding='utf-8'))
    for text in ('the message\nwhy', 'the fix', 'size-mismatch (val)', '9 ×', '9 files, the first 2', 'a.png: 2 x 3'):
        assert text in source
    assert '1 error, 1 note. Correct the errors before training.' in source
    assert [name for name in ('errors', 'warnings', 'notes') if f'<section id="{name}">' in source] == [
        'errors',
        'notes',
    ]
    assert 'ab' * 32 in source
    assert 'workers' in source


def test_nothing_found_is_said(tmp_path):
    source = write_page(a_passport(), tmp_path).read_text(encoding='utf-8')
    assert 'Nothing to complain about.' in source
    assert 'Every file was read' in source


def test_tables_hold_the_numbers_of_the_passport(tmp_path):
    values = {'encoding': 'class_indices', 'expected': 'train_ids', 'counts': {'0': 75, '255': 25}, 'distinct': 2}
    source = texts(write_page(a_passport(values=values), tmp_path).read_text(encoding='utf-8'))
    # Ignored: 10 of 100 pixels; cars: 30 of 90; the value 255: 25 of 100.
    for share in ('10.0%', '33.333%', '25.000%'):
        assert share in source
    assert '60 × 40' in source
    assert 'class_indices' in source


@pytest.mark.parametrize(
    'passport', [Passport('detection', 'x'), Passport('segmentation', 'x', {'all': SplitSummary()})]
)
def test_an_empty_passport_has_a_page(passport, tmp_path):
    assert write_page(passport, tmp_path).stat().st_size > 1000


def test_thumbnails_are_bounded_and_those_left_out_are_named(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'i.png')
    findings = [Finding('error', f'kind-{n}', 'm', 'f', [str(tmp_path / 'i.png')] * 7, 7) for n in range(3)]
    pictures = page_module._Pictures(a_passport(findings), {}, left=8)
    assert [len(pictures.of_finding(finding)) for finding in findings] == [6, 2, 0]
    assert pictures.left_out == [('kind-0', 6, 7), ('kind-1', 2, 7), ('kind-2', 0, 7)]
    source = texts(write_page(a_passport(findings * 5), tmp_path).read_text(encoding='utf-8'))
    assert source.count('<img src=""') == page_module.MAX_THUMBNAILS == 60
    assert 'Findings with more files than pictures (6 a finding, 60 in all)' in source


def test_pixels_of_pictures_inside_a_file_are_shown(tmp_path):
    finding = Finding('warning', 'label-conflict', 'm', 'f', ['data/train#3'], 1)
    passport = Passport('classification', 'x', findings=[finding])
    with_picture = write_page(passport, tmp_path, pixels={'data/train#3': np.zeros((32, 32, 3), np.uint8)})
    source = with_picture.read_text(encoding='utf-8')
    assert source.count('<img src="data:image/') == 1
    assert 'class="placeholder"' in write_page(passport, tmp_path).read_text(encoding='utf-8')


def test_a_hostile_file_name_is_harmless(tmp_path):
    name = str(tmp_path / '<img src=x onerror=alert(1)>.png')
    source = write_page(a_passport([Finding('error', 'unreadable', name, 'f', [name], 1)]), tmp_path).read_text()
    assert '<img src=x' not in source
    assert '&lt;img src=x onerror=alert(1)&gt;.png' in source


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'classification'])
def test_pages_of_inspected_folders(task, clean, tmp_path):
    folder = clean(task)
    broken = next(path for path in sorted(folder.rglob('*.*g')) if 'labels' not in path.parts)
    broken.write_bytes(b'')
    if task == 'detection':
        xml = folder / 'annotations' / 'train' / '01.xml'
        xml.write_text(xml.read_text().replace('<xmax>20<', '<xmax>900<'))
    passport = inspect_data(folder, workers=1)
    source = write_page(passport, tmp_path / 'out').read_text(encoding='utf-8')
    assert 'class="placeholder">empty file' in source
    assert ('box-outside' in source) == (task == 'detection')
    assert len(source) < 1_500_000


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert('L'))


def test_light_and_dark_have_their_grounds_and_leave_the_settings_alone():
    before = dict(rcParams)
    light, dark = light_and_dark(lambda: plots.box_sides_figure({'train': [1] * 11}, BOX_SIDE_EDGES))
    assert decoded(light)[0].min() == 255
    assert decoded(dark)[0].max() < 30
    assert light == light_and_dark(lambda: plots.box_sides_figure({'train': [1] * 11}, BOX_SIDE_EDGES))[0]
    assert dict(rcParams) == before


def test_class_balance_shows_shares_of_each_split():
    counts = {'train': [90, 10, 0], 'val': [1, 1, 2]}
    (axes,) = plots.class_balance_figure(CLASSES, counts, 'pixels').axes
    found = {line.get_label(): (line.get_xdata().tolist(), np.round(line.get_ydata()).tolist()) for line in axes.lines}
    # A class that a split lacks has no dot.
    assert found == {'train': ([0.9, 0.1], [0, 1]), 'val': ([0.25, 0.25, 0.5], [0, 1, 2])}
    assert [label.get_text() for label in axes.get_yticklabels()] == CLASSES
    (axes,) = plots.class_balance_figure(CLASSES, {'all': [90, 10, 0]}, 'pixels').axes
    assert [bar.get_width() for bar in axes.patches] == [90, 10, 0]
    assert axes.get_xlabel() == 'pixels (log scale)'


def test_of_many_classes_the_rarest_are_shown():
    names = [f'c{n}' for n in range(150)]
    (axes,) = plots.class_balance_figure(names, {'a': range(150), 'b': range(150)}, 'images').axes
    assert [label.get_text() for label in axes.get_yticklabels()] == names[: plots.MAX_ROWS]


def test_value_histogram_orders_values_and_colours():
    (axes,) = plots.value_histogram_figure({'255': 5, '7': 100, '10': 3}, expected=[7, 10]).axes
    assert [bar.get_height() for bar in axes.patches] == [100, 3, 5]
    assert axes.patches[0].get_facecolor() == axes.patches[1].get_facecolor() != axes.patches[2].get_facecolor()
    (axes,) = plots.value_histogram_figure({'#ff0000': 5, '#0000ff': 2}).axes
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [(0, 0, 1), (1, 0, 0)]


def test_sizes_and_boxes_have_a_mark_for_everything():
    (axes,) = plots.image_sizes_figure({'train': {'10x20': 3, '5x5': 1}, 'val': {'7x9': 1}}).axes
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [[[20, 10], [5, 5]], [[9, 7]]]
    (axes,) = plots.box_sides_figure({'train': [1, 3], 'val': [0, 0]}, (0, 4)).axes
    assert [bar.get_height() for bar in axes.patches] == [25, 75, 0, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ['0–4', '≥ 4']
