import json

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('benchmarks/cut_mix.py')


SMALL = ['--shape', '12', '3', '9', '8', '--classes', '5', '--repeats', '1']


def test_prints_agreement_and_ratios(tool, tmp_path, capsys):
    assert tool.main([*SMALL, '--json', str(tmp_path / 'b.json')]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 2
    assert printed.count('ratio: PairwiseCutMix is') == 2
    report = json.loads((tmp_path / 'b.json').read_text())
    assert report['shape'] == [12, 3, 9, 8]
    assert len(report['median_ms']) == 4
    assert all(milliseconds > 0 for milliseconds in report['median_ms'].values())
    assert set(report['ratios']) == {tool.LOOP, tool.UPSTREAM}


def test_a_wrong_result_is_told(tool, monkeypatch, capsys):
    real = tool.cut_mix
    monkeypatch.setattr(tool, 'cut_mix', lambda images, scores, *draws: real(images + 1, scores, *draws))
    assert tool.main(SMALL) == 1
    assert capsys.readouterr().out.count('DIFFERS: ') == 2
