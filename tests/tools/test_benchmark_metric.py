import json

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('benchmarks/metric.py')


def test_prints_agreement_and_ratio(tool, tmp_path, capsys):
    path = tmp_path / 'b.json'
    assert tool.main(['--size', '40', '90', '--classes', '5', '--repeats', '3', '--json', str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 2
    assert 'ratio: SegmentationMetric' in printed
    report = json.loads(path.read_text())
    assert report['size'] == [40, 90]
    assert all(milliseconds > 0 for milliseconds in report['median_ms'].values())


def test_a_wrong_count_is_told(tool, monkeypatch, capsys):
    real = tool.count_confusion
    monkeypatch.setattr(tool, 'count_confusion', lambda *maps: real(*maps).T)
    assert tool.main(['--size', '40', '90', '--classes', '5', '--repeats', '1']) == 1
    assert 'DIFFERS: areas = mmseg' in capsys.readouterr().out
