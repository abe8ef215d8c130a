"""Numbers of a text: which are claims, and which of these nobody measured."""

import json

import pytest

from mmext.analysis.published import Figure, PublishedMacs, PublishedRow
from mmext.analysis.report.known_numbers import (
    Known,
    KnownFileError,
    KnownNumbers,
    file_numbers,
    is_rounded,
    published_numbers,
    speed_numbers,
)
from mmext.analysis.report.number_check import check_file, check_lines, claims
from mmext.analysis.report.prose import Line, ProseError, html_lines, markdown_lines, read_lines
from mmext.analysis.speed.records import SpeedRecord, Timing


def of(text: str) -> list[str]:
    return [number for line in markdown_lines(text) for number in claims(line)]


@pytest.mark.parametrize(
    'text',
    [
        'Run `tools/x.py --lr 0.123` and ``a 4.5 ` b``.',
        '```shell\npip install torch==2.10.0  # 3.4 GB\n```',
        '~~~~\n1.5\n~~~\n2.5\n~~~~',
        'See [the card](configs/a_0.5.md) and https://example.org/2.5/x, <https://a.b/7.5>.',
        'ResNet-18, R101, ViT-B/16, B0 / B2, FCN-32s / 16s, VOC07+12, CIFAR-100, top-1, mAP@.5, 20k iterations, 8xb2.',
        'Python 3.10 to 3.12, torch 2.10, version 1.2.3, v0.4.1, torch>=2.6, Apache-2.0.',
        'Frames of 375 x 1242 and 2×3×4 pixels; 2x3.',
        'arXiv:2206.12571 of 2022, written 2026-01-31 at 11:30, run 20260101_120000.',
        'Table 3 and Figure 4 have 7 classes; 4 GPUs, 2 cores.',
        '| ViT, 64 patches | note |\n| --- | --- |\n| ViT, 256 patches | ok |',
        '<!-- measured: 4.5 s -->',
        'file weights_0.25.json and data/x1.5/y.png',
    ],
)
def test_what_is_no_claim(text):
    assert of(text) == []


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('It reaches 52.7 % mIoU in 130 seconds.', ['52.7', '130']),
        ('Takes 10 to 30 minutes; 34ms; 5 %.', ['10', '30', '34', '5']),
        ('Better by +0.31, worse by -0.5 and −1.25.', ['+0.31', '-0.5', '−1.25']),
        ('From 3.5-4.5 it grew to 1,234.5 images/s.', ['3.5', '4.5', '1,234.5']),
        ('| a | mIoU |\n|---|---:|\n| R18, 4 parts | 62.89 / 63 |', ['62.89', '63']),
        ('The share is .25, at 4.935 M parameters.', ['.25', '4.935']),
        ('[62.89](#run)', ['62.89']),
        ('52.7% and 0.3x', ['52.7']),
        # Thousands, learning rates; the pairs of a comparison are two numbers.
        (
            '| a | b |\n|---|---|\n| x | 20 000 of 1 234 567, 100 2500, 12.5 100 |',
            ['20 000', '1 234 567', '100', '2500', '12.5', '100'],
        ),
        ('Adam 1e-4 to 2.5e-05; 1e9 multiply-adds, e-4', ['1e-4', '2.5e-05']),
        ('It ends with 61.5.', ['61.5']),
        (r'PSPNet\_R18 has 61.5', ['61.5']),
    ],
)
def test_what_is_a_claim(text, expected):
    assert of(text) == expected


KNOWN = KnownNumbers(
    [
        Known(0.685135, 'report, mIoU', frozenset(['configs/fcn/a.py']), 'share'),
        Known(52.7312, 'run0: mIoU', frozenset(['run0', 'configs/quickstart.py']), '%'),
        Known(11.25, 'run0: IoU of bus', frozenset(['run0', 'configs/quickstart.py']), '%', detail=True),
        Known(4_935_000, 'parameters', frozenset(['configs/vit/b.py']), 'count'),
        Known(-0.4, 'difference', frozenset(['run1'])),
    ]
)


def found(text: str) -> list[str]:
    return [problem.number for problem in check_lines(markdown_lines(text), KNOWN, 'x.md')]


@pytest.mark.parametrize(
    ('text', 'wrong'),
    [
        # A share may be printed in percent, with fewer decimals than it has.
        ('68.51 %, 0.685, 0.6851, 68.5135', []),
        ('68.52 %, 0.6852, 68.50', ['68.52', '0.6852', '68.50']),
        ('53 % and 52.73', []),
        ('52.74', ['52.74']),
        ('4.935 M, 4,935,000 and 4 935 000 bytes', []),
        ('4.9 M, 5e-1', ['5e-1']),
        # Smaller by 0.4; the sign must be right where there is one.
        ('-0.4, smaller by 0.40', []),
        ('+0.4', ['+0.4']),
        # The score of a class is quoted where its run is named.
        ('11.25', ['11.25']),
        ('`run0`: 11.25', []),
        # A line that names a config has the numbers of that config alone, and of a folder those of all in it.
        ('[a](configs/fcn/a.py) 68.51 and 52.7', ['52.7']),
        ('[a](configs/fcn) 68.51', []),
        ('[a](configs/fcn/aa.py) 68.51', ['68.51']),
        ('[a](configs/fc) 68.51', ['68.51']),
    ],
)
def test_numbers_without_a_source_are_found(text, wrong):
    assert found(text) == wrong


def test_a_problem_names_file_line_number_and_the_nearest(tmp_path):
    (tmp_path / 'README.md').write_text('# R\n\nfine\n\n| a | b |\n|---|---|\n| x `run0` | 52.8 |\n')
    (problem,) = check_file(tmp_path / 'README.md', KNOWN)
    assert str(problem) == (
        f'{tmp_path}/README.md:7: 52.8: no run and no published figure has this number '
        '(the nearest is 52.7312, run0: mIoU)'
    )


def test_a_file_may_excuse_a_number_with_a_reason():
    assert found('Took 99.5 s and 98.5 s.\n<!-- numbers: 99.5 (by hand, on the machine of 2026) -->') == ['98.5']
    assert found('99 500 ms, 99,500 ms\n<!-- numbers: 99500 (by hand) -->') == []
    assert found('99.5\n<!-- numbers: 99.5 () -->') == ['99.5']
    assert found('99.5\n<!-- numbers: 99.5 -->') == ['99.5']


def test_pages_are_read_as_they_are_shown():
    source = """<html><head><title>9.9</title><style>a{width:1.5rem}</style></head><body><h1>Results 1.25</h1>
<p>Reached <b>2.5</b> <code>3.5</code> <a href="configs/fcn/a.py">x</a></p>
<article class="notice note"><p>quoted 4.5</p></article>
<table><caption>5.5</caption><thead><tr><th>12 <button>6.5</button></th></tr></thead>
<tbody><tr><th>R 7</th><td title="8.5">9</td></tr></tbody></table><script>var x = 10.5</script></body></html>"""
    lines = html_lines(source)
    assert [number for line in lines for number in claims(line)] == ['1.25', '2.5', '5.5', '6.5', '9']
    assert lines[1].number == 2
    assert '[x](configs/fcn/a.py)' in lines[1].text


def test_other_files_are_refused(tmp_path):
    (tmp_path / 'a.txt').write_text('1.5')
    with pytest.raises(ProseError, match=r'a\.txt: numbers are checked in \.md and \.html'):
        read_lines(tmp_path / 'a.txt')
    (tmp_path / 'a.md').write_bytes(b'\xff\xfe')
    with pytest.raises(ProseError, match='no UTF-8'):
        read_lines(tmp_path / 'a.md')


def test_what_a_line_is():
    lines = markdown_lines('| a |\n|---|\n| 1 |\n\n| no table |')
    assert lines == [Line(1, '| a |'), Line(3, '| 1 |', ('1',)), Line(4, ''), Line(5, '| no table |')]
    assert markdown_lines('') == []


@pytest.mark.parametrize(
    ('value', 'number', 'decimals', 'expected'),
    [
        (0.685135, 0.69, 2, True),
        (0.685, 0.68, 2, True),
        (0.685, 0.69, 2, True),
        (0.68, 0.69, 2, False),
        (62.89, 63, 0, True),
        (62.49, 63, 0, False),
        (float('nan'), 0.0, 1, False),
        (float('inf'), 0.0, 1, False),
    ],
)
def test_rounding(value, number, decimals, expected):
    assert is_rounded(value, number, decimals) is expected


def test_measurements_of_other_tools(tmp_path):
    content = [
        {'config': 'configs/a.py', 'macs': 106_100_000_000, 'metrics': {'mIoU': {'value': 0.5, 'unit': 'share'}}}
    ]
    (tmp_path / 'a.json').write_text(json.dumps(content))
    (tmp_path / 'b.jsonl').write_text('{"x": 1.5, "ok": true}\n\n{"x": 2.5}\n')
    (tmp_path / 'c.csv').write_text('config,params\nconfigs/b.py,12620000\n')
    known = KnownNumbers([one for name in ('a.json', 'b.jsonl', 'c.csv') for one in file_numbers(tmp_path / name)])
    assert not check_lines(markdown_lines('`x` [a](configs/a.py) 106.1, 50 %'), known, 'x')
    assert not check_lines(markdown_lines('1.5 and 2.5; 12.62 M'), known, 'x')
    assert len(check_lines(markdown_lines('[b](configs/b.py) 106.1 GMACs'), known, 'x')) == 1
    assert len(known.numbers) == 5
    for name, text in (('d.json', '{'), ('e.txt', '1')):
        (tmp_path / name).write_text(text)
        with pytest.raises(KnownFileError, match=name):
            file_numbers(tmp_path / name)


def test_measurements_of_data_count_where_data_are_spoken_of(tmp_path):
    content = [
        {'data': 'data/samples/a', 'source': 'counted', 'figures': {'size': {'value': 3449583, 'unit': 'bytes'}}}
    ]
    (tmp_path / 'measured.json').write_text(json.dumps(content))
    known = KnownNumbers(file_numbers(tmp_path / 'measured.json'))
    card = markdown_lines('`data/samples/a` takes 3.4 MB')
    assert [problem.number for problem in check_lines(card, known, 'x')] == ['3.4']
    assert check_lines(card, known, 'x', 'data') == []


def test_times_are_known_relative_to_those_of_the_same_folder():
    def record(config, ms, precision='fp32'):
        timing = Timing(ms, 2 * ms, 1000 / ms, 5)
        return SpeedRecord(config, (8, 8), 1, 'cpu', precision, False, False, '', network=timing)

    known = KnownNumbers(
        list(
            speed_numbers(
                [record('configs/a/x.py', 30.0), record('configs/a/y.py', 40.0), record('configs/b/z.py', 90.0)]
            )
        )
    )
    assert not check_lines(markdown_lines('[y](configs/a/y.py) 1.33, [x](configs/a/x.py) 0.75'), known, 'x')
    wrong = check_lines(markdown_lines('[y](configs/a/y.py) 0.75\n[y](configs/a/y.py) 3.00\n1.33'), known, 'x')
    assert [problem.number for problem in wrong] == ['0.75', '3.00', '1.33']
    other = [record('configs/a/x.py', 30.0), record('configs/a/y.py', 40.0, 'bf16')]
    assert not any('relative' in one.source for one in speed_numbers(other))


def test_the_nearest_is_told_as_a_text_prints_it():
    (problem,) = check_lines(markdown_lines('[b](configs/vit/b.py): 4.936 M'), KNOWN, 'x')
    assert problem.near == '4.935, parameters'


def test_the_published_list_is_known():
    figures = {'mIoU': Figure('0.2760', 'share'), 'latency': Figure('34', 'ms')}
    row = PublishedRow(
        'r', 't', 'm', 'configs/a.py', figures, PublishedMacs(67.003, (375, 1242), 'decimals'), '0.4613, 4.5 too'
    )
    known = KnownNumbers(list(published_numbers([row])))
    assert not check_lines(markdown_lines('27.60 %, 34 ms, 67.003 GMACs, 0.4613, 46.13 %, 4.5'), known, 'x')
    assert len(check_lines(markdown_lines('27.61 %, 35 ms, 67.004 GMACs'), known, 'x')) == 3
