"""A line that would fail a reader is seen; what bash does is bash's own."""

import pytest
from shell_blocks import read_blocks
from shortening import add_cfg_options
from workshop import fill_in


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        ('python tools/get_flops.py configs/quickstart.py --sharpe 3 4', '--sharpe'),
        ('python tools/get_flops.py configs/quickstart.py [--shape 3 4] [--nothing]', '--nothing'),
        ('python tools/no_such_tool.py', 'no_such_tool.py'),
        ('python tools/recipe.py SOMETHING', 'SOMETHING stands for nothing'),
        ('wget https://example.org/weights.pth', 'no such program'),
        ('pip download mmcv', 'neither run nor in LISTED'),
        ('cp no_such_file here', 'failed: cp no_such_file here'),
        ('for x in a b; do', 'syntax error'),
        ('python fails.py', 'ended with 3, expected 0'),
    ],
)
def test_faults_are_seen(workshop, tmp_path, line, fault):
    page = tmp_path / 'page.md'
    page.write_text(f'```python\n# fails.py\nraise SystemExit(3)\n```\n\n```shell\n{line}\n```\n')
    report = workshop.follow(str(page))
    assert any(fault in found for found in report.faults), report


def test_bash_does_what_bash_does(workshop, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        'Text\n```python\n# show.py\nimport sys\nprint(sys.argv[1:])\n```\n'
        '```shell\nexport A="x y"    # a comment\nfor i in 1 2; do\n    python show.py $i \\\n        "$A"\ndone\n'
        'python show.py {a,b} "$(python -c \'print(7)\')" && mkdir -p deep\n```\n'
        '```\nnot for the shell\n```\n```shell\ncd deep\npython ../show.py >saved.txt\ncat saved.txt\n```\n'
    )
    report = workshop.follow(str(page))
    assert not report.faults
    assert report.outputs == ["['1', 'x y']\n", "['2', 'x y']\n", '7\n', "['a', 'b', '7']\n", '[]\n']
    assert (workshop.project / 'deep' / 'saved.txt').read_text() == '[]\n'


def test_placeholders_stand_for_something():
    text, unknown = fill_in('python tools/x.py CONFIG RUN RUN... --out=DIR --n N CONFIG.txt $RUN ABC=3 # CPU')
    assert text.startswith(
        'python tools/x.py configs/quickstart.py work_dirs/quickstart work_dirs/quickstart_again --out='
    )
    assert text.endswith('--n 1 CONFIG.txt $RUN ABC=3')
    assert unknown == []
    assert fill_in('x THING')[1] == ['THING']


def test_options_are_added_behind_those_of_the_line():
    line = ['c.py', '--cfg-options', 'a=1', 'b=2', '--seed', '0']
    assert add_cfg_options(line, ['a=3']) == ['c.py', '--cfg-options', 'a=1', 'b=2', 'a=3', '--seed', '0']
    assert add_cfg_options(['c.py'], ['a=3']) == ['c.py', '--cfg-options', 'a=3']


def test_blocks_know_their_line_and_name(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('a\n\n```python\n# b.py\nc = 1\n```\n```shell\nls\n```\n')
    assert [(block.line, block.language, block.file_name) for block in read_blocks(page)] == [
        (4, 'python', 'b.py'),
        (8, 'shell', None),
    ]
