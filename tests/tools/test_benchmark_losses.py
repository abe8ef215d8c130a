import importlib.util
import json
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def main():
    path = Path(__file__).parents[2] / 'tools/benchmarks/losses.py'
    spec = importlib.util.spec_from_file_location('benchmark_losses_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


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
