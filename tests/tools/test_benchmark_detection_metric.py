import json

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('benchmarks/detection_metric.py')


@pytest.fixture(autouse=True)
def no_pool(tool, monkeypatch):
    """A pool of processes takes long to start."""
    monkeypatch.setattr(tool.mean_ap, 'Pool', tool.InProcess)


SMALL = ['--images', '20', '--detections', '15', '--classes', '3', '--repeats', '1']


def test_prints_agreement_and_ratio(tool, tmp_path, capsys):
    path = tmp_path / 'b.json'
    assert tool.main([*SMALL, '--json', str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 2
    assert 'ratio: voc_scores' in printed
    report = json.loads(path.read_text())
    assert report['images'] == 20
    assert all(milliseconds > 0 for milliseconds in report['median_ms'].values())
    assert 0 < report['mAP']['area'] < 1


def test_a_wrong_score_is_told(tool, monkeypatch, capsys):
    real = tool.counted_detections
    monkeypatch.setattr(tool, 'counted_detections', lambda *data: real(*data).keep(slice(1, None, 2)))
    assert tool.main(SMALL) == 1
    assert 'DIFFERS: mAP area = mmdet' in capsys.readouterr().out
