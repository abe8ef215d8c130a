import json

import pytest

from mmext.common.samples.land_cover import write_tiles


@pytest.fixture
def tool(load_tool):
    return load_tool('prepare/land_cover.py')


def test_sample_is_prepared_and_reported(tool, root, tmp_path, capsys):
    sample = root / 'data' / 'samples' / 'land_cover'
    argv = [str(sample / 'train'), str(tmp_path / 'out'), '--val', str(sample / 'validation')]
    assert tool.main(argv) == 0
    assert '12 train, 4 val' in capsys.readouterr().out
    assert len(json.loads((tmp_path / 'out' / 'split.json').read_text())['train']) == 12


def test_options_reach_the_conversion(tool, tmp_path):
    write_tiles(tmp_path / 'raw', range(3), (16, 16))
    argv = [str(tmp_path / 'raw'), str(tmp_path / 'out'), '--val-count', '1', '--tolerance', '9', '--others-unknown']
    assert tool.main([*argv, '--copy']) == 0
    split = json.loads((tmp_path / 'out' / 'split.json').read_text())
    assert (split['tolerance'], split['others_unknown'], len(split['val'])) == (9, True, 1)
    assert not any(path.is_symlink() for path in (tmp_path / 'out').rglob('*'))


def test_groups_stay_together(tool, tmp_path, capsys):
    write_tiles(tmp_path / 'raw', range(4), (16, 16))
    argv = [str(tmp_path / 'raw'), str(tmp_path / 'out'), '--val-count', '2']
    assert tool.main([*argv, '--group-by', '000[01]']) == 1
    assert 'does not match 0002 (2 of 4 names)' in capsys.readouterr().err
    assert tool.main([*argv, '--group-by', r'(?:(?<=^000)[01]|[23]$)']) == 0
    assert '2 train, 2 val' in capsys.readouterr().out


def test_errors_are_one_line(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path), str(tmp_path / 'out'), '--val-count', '1']) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path}: no *_sat.jpg files')
    assert error.count('\n') == 1


@pytest.mark.parametrize('source', [[], ['--val-count', '1', '--val', 'x']])
def test_validation_part_comes_from_one_source(tool, source, capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.main(['raw', 'out', *source])
    assert '--val' in capsys.readouterr().err
