import json


def test_prints_agreement_ratio_and_memory(load_tool, tmp_path, capsys):
    main = load_tool('benchmarks/lovasz.py').main
    assert main(['--shape', '2', '5', '20', '30', '--repeats', '1', '--json', str(tmp_path / 'b.json')]) == 0
    printed = capsys.readouterr().out
    assert printed.count('agrees: ') == 4
    assert 'DIFFERS' not in printed
    assert printed.count('ratio: LovaszSoftmaxLoss is') == printed.count('peak memory: mmseg LovaszLoss') == 2
    report = json.loads((tmp_path / 'b.json').read_text())
    assert report['shape'] == [2, 5, 20, 30]
    for case in report['cases'].values():
        assert all(case['agreements'].values())
        assert all(value > 0 for value in [*case['median_ms'].values(), *case['peak_mb'].values()])


def test_needs_no_more_memory_than_upstream(load_tool, tmp_path):
    load_tool('benchmarks/lovasz.py').main(
        ['--shape', '2', '19', '64', '64', '--repeats', '1', '--json', str(tmp_path / 'b.json')]
    )
    for case in json.loads((tmp_path / 'b.json').read_text())['cases'].values():
        assert case['peak_mb']['LovaszSoftmaxLoss'] <= case['peak_mb']['mmseg LovaszLoss']
