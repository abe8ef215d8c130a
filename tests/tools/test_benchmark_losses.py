import json

import pytest


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('benchmarks/losses.py').main


def test_prints_agreement_and_ratio(main, tmp_path, capsys):
    assert main(['--shape', '2', '5', '20', '30', '--repeats', '1', '--json', str(tmp_path / 'b.json')]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 6
    assert 'DIFFERS' not in printed
    assert printed.count('ratio: OhemBalancedLoss is') == 2
    report = json.loads((tmp_path / 'b.json').read_text())
    assert report['shape'] == [2, 5, 20, 30]
    for case in report['cases'].values():
        assert all(case['agreements'].values())
        assert all(milliseconds > 0 for milliseconds in case['median_ms'].values())
