import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_all_loops_in_two_processes_with_workers(root):
    arguments = ['--kills', '3', '--workers', '1', '--processes', '2']
    done = subprocess.run(
        [sys.executable, 'tools/benchmarks/kill_test.py', *arguments],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': str(root), 'PYTHONWARNINGS': 'ignore'},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert '3 of 3 bit-identical' in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
    assert [
        done.stdout.count(f'{loop}, 1 workers, 2 processes: killed in ') for loop in ('iter', 'epoch', 'staged')
    ] == [1] * 3
    assert 'after the main process alone was killed, the others ended within' in done.stdout


@pytest.mark.parametrize(
    'arguments', [['--kills', '0'], ['--workers', '-1'], ['--processes', '0'], ['--loops', 'other']]
)
def test_wrong_arguments_are_told(load_tool, capsys, arguments):
    with pytest.raises(SystemExit, match='2'):
        load_tool('benchmarks/kill_test.py').parse_args(arguments)
    assert 'error: ' in capsys.readouterr().err


def test_cases_cover_everything(load_tool):
    tool = load_tool('benchmarks/kill_test.py')
    names = [case.name for case in tool.cases(tool.parse_args([]))]
    assert len(set(names)) == len(names) == 3 * 2 * 2
    assert names[0] == 'iter, 0 workers, 1 process'
    assert names[-1] == 'staged, 2 workers, 2 processes'


def test_a_config_that_is_missing_is_told(load_tool, capsys):
    assert load_tool('benchmarks/kill_test.py').main(['--config', 'none.py']) == 1
    assert capsys.readouterr().err.startswith('error: none.py: no such config')
