"""Rows of the table: lookup of the published figures, exactness, ratio, text and JSON; a true count by hand."""

import pytest

from mmext.analysis.model_from_config import AnalysisError
from mmext.analysis.model_table import (
    COLUMNS,
    NOTE,
    ModelRow,
    count_model,
    is_exact,
    markdown_table,
    published_row,
    to_dict,
)
from mmext.analysis.published import Figure, PublishedRow

SIZES = {'params': Figure('4.97', 'M'), 'flops': Figure('5.55', 'M'), 'pass_size': Figure('48.16', 'MB')}
VIT = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmext.classification.models'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ReportViT', {settings}),
    head=dict(type='VisionTransformerClsHead', num_classes={classes}, in_channels={width}))
{data}
"""


def published(config='configs/vit.py', metrics=SIZES):
    return PublishedRow('report', 'Table 3', 'ViT [3]', config, metrics)


def row(**changes):
    settings = dict(
        config='configs/vit.py',
        size_hw=(32, 32),
        input_source='given',
        params=4_965_412,
        macs=1_110_000_000,
        mult_adds=5_549_000,
        pass_bytes=48_200_000,
        published=published(),
    )
    return ModelRow(**{**settings, **changes})


@pytest.mark.parametrize(
    ('ours', 'text', 'exact'),
    [(4.965412, '4.97', True), (4.9649, '4.97', False), (5.5, '5.50', True), (1799.6, '1800', True), (0, '0', True)],
)
def test_exact_means_the_same_printed_digits(ours, text, exact):
    assert is_exact(ours, Figure(text, 'M')) is exact


def test_cells():
    cells = row().cells()
    assert tuple(cells) == COLUMNS
    assert cells['model'] == 'ViT [3]'
    assert (cells['params (M)'], cells['published (M)']) == ('4.97', '4.97 exact')
    assert (cells['torchinfo mult-adds (M)'], cells['published "FLOPs" (M)']) == ('5.55', '5.55 exact')
    assert (cells['torchinfo pass (MB)'], cells['published (MB)']) == ('48.20', '48.16 +0.08 %')
    assert (cells['MACs (M)'], cells['MACs / published']) == ('1110.00', '200.0')


def test_nothing_published_is_a_dash():
    cells = row(published=None, config='configs/some_net.py').cells()
    assert cells['model'] == 'some_net'
    assert [cells[name] for name in COLUMNS if 'published' in name] == ['-'] * 4
    assert row(published=None).ratio is None
    assert to_dict(row(published=None))['published'] == {}


def test_json_and_markdown():
    content = to_dict(row())
    assert content['published']['params'] == {'value': 4.97, 'unit': 'M', 'exact': True}
    assert content['published']['pass_size']['exact'] is False
    assert content['macs_per_published_flop'] == pytest.approx(200)
    lines = markdown_table([row(published=published(metrics={'params': Figure('4.97', 'M')}))]).splitlines()
    assert [line.count(' | ') for line in (lines[0], lines[2])] == [len(COLUMNS) - 1] * 2
    assert lines[-1] == NOTE


def test_lookup_skips_rows_without_sizes_and_takes_any_spelling_of_the_path(tmp_path):
    scores = published(metrics={'top1': Figure('53.13', '%')})
    rows = [scores, published(config='configs/other.py'), published()]
    assert published_row(tmp_path / 'x' / '..' / 'configs' / 'vit.py', rows, tmp_path) is rows[2]
    assert published_row(tmp_path / 'configs' / 'none.py', rows, tmp_path) is None
    assert published_row(tmp_path / 'configs' / 'vit.py', [scores], tmp_path) is None


def test_another_unit_is_refused(tmp_path):
    rows = [published(metrics={'pass_size': Figure('48.16', 'M')})]
    with pytest.raises(AnalysisError, match=r'configs/vit\.py: the published pass_size is 48\.16 M; write it in MB'):
        published_row(tmp_path / 'configs/vit.py', rows, tmp_path)


@pytest.fixture
def write(tmp_path):
    def write_config(settings, classes=10, width=8, data=''):
        path = tmp_path / 'vit.py'
        path.write_text(VIT.format(settings=settings, classes=classes, width=width, data=data))
        return path

    return write_config


TINY = 'patch_size=4, embed_dims=8, feedforward_channels=16, num_heads=2, num_layers=1'


def test_true_products_of_a_tiny_vit_by_hand(write):
    found = count_model(write(f'img_size=16, {TINY}'))
    tokens = 17
    block = tokens * 8 * (3 * 8 + 2 * 16) + 2 * tokens * tokens * 8
    norms = 3 * tokens * 8 * 5  # fvcore's price of an affine layer norm: 5 per element
    assert found.macs == 16 * 48 * 8 + block + norms + 8 * 10
    linear = 9 * 24 + 9 * 16 + 17 * 8 + 9 * 10
    assert found.mult_adds == 49 * 8 * 16 + linear + 3 * 16
    outputs = 16 * 8 + tokens * (24 + 16 + 8 + 3 * 8) + 10
    assert found.pass_bytes == outputs * 8
    assert (found.size_hw, found.input_source) == ((16, 16), 'model.backbone.img_size')
    assert found.unknown == ()


@pytest.mark.parametrize(
    ('data', 'size_hw'),
    [
        ("test_dataloader = dict(dataset=dict(type='CIFAR100', pipeline=[dict(type='PackInputs')]))", (32, 32)),
        ("test_pipeline = [dict(type='Resize', scale=(24, 16))]", (16, 24)),
    ],
)
def test_size_from_the_data(write, data, size_hw):
    assert count_model(write(TINY, data=data)).size_hw == size_hw


def test_errors_name_file_and_fix(write, tmp_path):
    with pytest.raises(AnalysisError, match=r'vit\.py: no input size .* pass --shape H W'):
        count_model(write(TINY))
    with pytest.raises(AnalysisError, match=r'vit\.py: ImageClassifier failed on a 1 x 3 x 8 x 8 input'):
        count_model(write(TINY, width=9), (8, 8))
    with pytest.raises(AnalysisError, match=r'no\.py: no such config file'):
        count_model(tmp_path / 'no.py')
    (tmp_path / 'seg.py').write_text("default_scope = 'mmseg'\nmodel = dict(type='EncoderDecoder')")
    with pytest.raises(AnalysisError, match=r"seg\.py: default_scope is 'mmseg'; this table is for classifiers"):
        count_model(tmp_path / 'seg.py')
