"""Kinds of arguments, through argparse as tools use them."""

import argparse
import math

import pytest

from mmext.common.arguments import at_least, finite, output_file, output_folder


def parse(kind, text):
    parser = argparse.ArgumentParser()
    parser.add_argument('--x', type=kind)
    return parser.parse_args([f'--x={text}']).x


@pytest.mark.parametrize(
    ('kind', 'text', 'value'),
    [
        (at_least(1), '1', 1),
        (at_least(0), '7', 7),
        (at_least(-3), '-3', -3),
        (at_least(0.5, float), '0.5', 0.5),
        (finite, '-2.5e3', -2500.0),
        (finite, '0', 0.0),
    ],
)
def test_accepted(kind, text, value):
    assert parse(kind, text) == value


@pytest.mark.parametrize(
    ('kind', 'text', 'message'),
    [
        (at_least(1), '0', '--x: 0: must be at least 1'),
        (at_least(1), '1.5', "'1.5' is not a whole number"),
        (at_least(1), '', "'' is not a whole number"),
        (at_least(0.5, float), '0.4', '0.4: must be at least 0.5'),
        (at_least(0, float), 'nan', 'nan: must be finite'),
        (at_least(0, float), 'inf', 'inf: must be finite'),
        (finite, 'nan', 'nan: must be finite'),
        (finite, '-inf', '-inf: must be finite'),
        (finite, 'x', "'x' is not a number"),
    ],
)
def test_refused(kind, text, message, capsys):
    with pytest.raises(SystemExit):
        parse(kind, text)
    assert message in capsys.readouterr().err


def test_numbers_are_what_they_say():
    assert type(parse(at_least(1), '3')) is int
    assert math.isclose(parse(finite, '1e308'), 1e308)


def test_outputs(tmp_path, capsys):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder').mkdir()
    for place in ('folder', 'folder/new', 'new', 'new/deeper'):
        assert parse(output_folder, tmp_path / place) == tmp_path / place
    for place in ('file', 'folder/new.json', 'new/deeper.json'):
        assert parse(output_file, tmp_path / place) == tmp_path / place
    for kind, place, message in (
        (output_folder, 'file', 'file is a file; give the name of a folder'),
        (output_folder, 'file/new/deeper', 'file is a file'),
        (output_file, 'folder', 'is a folder; give the name of a file'),
        (output_file, 'file/new.json', 'file is a file'),
    ):
        with pytest.raises(SystemExit):
            parse(kind, tmp_path / place)
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['file', 'folder']
