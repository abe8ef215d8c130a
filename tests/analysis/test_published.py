"""The file of published figures is complete and true to the reports; malformed rows are explained."""

import re

import pytest

from mmext.analysis.published import PublishedError, PublishedMacs, read_published

ROW = """- report: kitti
  table: Table 1
  model: Net
  config: configs/net.py
  metrics: {mIoU: 0.2760 share, latency: 34 ms}
  gmacs: {value: 67.003, size_hw: [375, 1242], tolerance: decimals}
  note: a slip
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / 'published.yml'
        path.write_text(text)
        return read_published(path)

    return read_text


def test_a_row(read):
    (row,) = read(ROW)
    assert (row.report, row.table, row.model, row.config, row.note) == (
        'kitti',
        'Table 1',
        'Net',
        'configs/net.py',
        'a slip',
    )
    assert {name: str(figure) for name, figure in row.metrics.items()} == {'mIoU': '0.2760', 'latency': '34 ms'}
    assert row.metrics['mIoU'].value == 0.276
    assert row.macs == PublishedMacs(67.003, (375, 1242), 'decimals')


@pytest.mark.parametrize(
    ('tolerance', 'inside', 'outside'), [('decimals', 100_099, 100_101), ('rounded', 99_001, 98_999)]
)
def test_tolerances(tolerance, inside, outside):
    macs = PublishedMacs(100.0, (1, 1), tolerance)
    assert macs.agrees(inside * 1_000_000)
    assert not macs.agrees(outside * 1_000_000)
    assert macs.deviation(inside * 1_000_000) == pytest.approx(inside / 100_000 - 1)
    assert PublishedMacs(100.0, (1, 1), 'unexplained').agrees(1)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('  model: Net\n', '', r"row 1 \(\): unknown keys \[\], missing keys \['model'\]"),
        ('note:', 'remark:', r"row 1 \(Net\): unknown keys \['remark'\]"),
        ('0.2760 share', '0.2760', r'metrics\.mIoU: 0\.276; expected a number and one of %, share'),
        ('34 ms', '34 s', r"metrics\.latency: '34 s'"),
        ('{mIoU: 0.2760 share, latency: 34 ms}', 'none', r"metrics: 'none'; expected a mapping"),
        ('config: configs/net.py', 'config: 3', r'config: 3; expected text'),
        ('67.003', '-1', r'gmacs\.value: -1'),
        ('67.003', 'true', r'gmacs\.value: True'),
        ('[375, 1242]', '375', r'gmacs\.size_hw: 375'),
        ('decimals', 'exact', r"gmacs\.tolerance: 'exact'; expected one of decimals, rounded, unexplained"),
        (', tolerance: decimals', '', r'gmacs: .* expected value, size_hw and tolerance'),
        ('report: kitti', 'kitti', r'no valid YAML'),
    ],
)
def test_malformed_rows_are_explained(read, old, new, message):
    assert old in ROW
    with pytest.raises(PublishedError, match=rf'published\.yml: .*{message}'):
        read(ROW.replace(old, new))


@pytest.mark.parametrize('text', ['', 'report: kitti', '[]'])
def test_no_rows(read, text):
    with pytest.raises(PublishedError, match='expected a list of rows'):
        read(text)


def test_every_table_is_there():
    rows = read_published()
    tables = {}
    for row in rows:
        tables[row.report, row.table] = tables.get((row.report, row.table), 0) + 1
    assert tables == {
        ('kitti', 'Table 1'): 17,
        ('context', 'Table 1'): 2,
        ('context', 'Table 2'): 2,  # its third row, PPM, is the first of table 1
        ('context', 'Table 3'): 1,  # the others are in table 1
        ('context', 'Table 4'): 2,  # MobileNetV2 is in table 3
        ('dlcv', 'Models compared'): 2,
        ('dlcv', 'Other models tried'): 8,  # FCN8s is among the compared
        ('dlcv', 'Classification'): 4,
        ('street-voc-vit', 'Part 1'): 3,
        ('street-voc-vit', 'Table 1'): 3,
        ('street-voc-vit', 'Table 2'): 9,
        ('street-voc-vit', 'Table 3'): 4,  # ViT-small is in table 2
        ('vit-pets', 'Results'): 2,
    }
    assert len({row.config for row in rows}) == len(rows)


def test_slips_of_the_reports_are_noted():
    notes = ' '.join(row.note for row in read_published())
    assert {'0.4613', '78.97', '0.681951', '97.213', '79.472'} <= set(re.findall(r'\d+\.\d+', notes))


def test_sizes_are_in_millions_and_megabytes(read):
    metrics = 'metrics: {params: 4.97 M, flops: 1800 M, pass_size: 48.16 MB}'
    (row,) = read(ROW.replace('metrics: {mIoU: 0.2760 share, latency: 34 ms}', metrics))
    assert {name: str(figure) for name, figure in row.metrics.items()} == {
        'params': '4.97 M',
        'flops': '1800 M',
        'pass_size': '48.16 MB',
    }


def test_every_figure_is_that_of_a_share_or_per_cent():
    sizes = {'params': 'M', 'flops': 'M', 'pass_size': 'MB'}
    for row in read_published():
        for name, figure in row.metrics.items():
            if name in sizes:
                assert figure.unit == sizes[name]
                continue
            scores = ('mIoU', 'mAcc', 'aAcc', 'mAP', 'matched_class_miou', 'matched_accuracy', 'top1', 'top5')
            assert name in (*scores, 'latency', 'speed', 'loss')
            if name in scores:
                assert 10 < figure.value * (100 if figure.unit == 'share' else 1) < 100
