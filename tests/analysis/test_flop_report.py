"""The report's table, JSON and text, on a report written by hand."""

import json

import pytest

from mmext.analysis.flop_report import (
    OWN_OPERATORS,
    FlopReport,
    ModuleCount,
    format_report,
    rows_at_depth,
    to_dict,
)
from mmext.common.files import write_json


@pytest.fixture
def report() -> FlopReport:
    modules = [('', 100, 1000), ('a', 60, 700), ('a.x', 40, 300), ('a.y', 10, 400), ('a.z', 0, 0), ('b', 40, 250)]
    return FlopReport(
        input_shape=(1, 3, 375, 1242),
        macs=1000,
        params=100,
        params_trainable=90,
        params_inference=60,
        by_operator={'conv': 1000},
        modules=tuple(ModuleCount(*module) for module in modules),
        zero_by_convention={'aten::add': 3},
        unknown={'aten::fft_rfft2': 2, 'prim::PythonOp.PSAMask': 1},
        not_called=('c',),
        notes=('a note [with brackets]',),
        input_source='--shape',
    )


def test_rows_hold_what_children_do_not(report):
    own = OWN_OPERATORS
    assert rows_at_depth(report, 0) == [ModuleCount('', 100, 1000)]
    assert rows_at_depth(report, 1) == [ModuleCount('a', 60, 700), ModuleCount('b', 40, 250), ModuleCount(own, 0, 50)]
    expected = [('a.x', 40, 300), ('a.y', 10, 400), (f'a {own}', 10, 0), ('b', 40, 250), (own, 0, 50)]
    assert rows_at_depth(report, 2) == [ModuleCount(*row) for row in expected]
    assert rows_at_depth(report, 9) == rows_at_depth(report, 2)


def test_dict_is_plain_json(report):
    content = to_dict(report, depth=2)
    assert json.loads(json.dumps(content)) == content
    assert (content['macs'], content['flops'], content['params']) == (1000, 2000, 100)
    assert content['input_shape'] == [1, 3, 375, 1242]
    assert sum(row['macs'] for row in content['by_module']) == 1000
    assert content['uncounted']['unknown'] == {'aten::fft_rfft2': 2, 'prim::PythonOp.PSAMask': 1}


def test_text_names_units_sizes_and_everything_uncounted(report):
    text = format_report(report, depth=2)
    for part in ('1 x 3 x 375 x 1242', 'G MACs', 'G FLOPs (2 x MAC)', 'size from --shape', 'without auxiliary heads'):
        assert part in text
    for part in ('add (3)', 'fft_rfft2 (2)', 'prim::PythonOp.PSAMask (1)', 'a note [with brackets]', 'a.y', '40.0 %'):
        assert part in text


def test_json_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'new' / 'f.json'
    write_json(target, {'macs': 1})
    with pytest.raises(TypeError):
        write_json(target, {'macs': object()})
    assert json.loads(target.read_text()) == {'macs': 1}
    assert list(target.parent.iterdir()) == [target]
