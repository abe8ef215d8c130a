import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/eval_detections.py')


@pytest.fixture
def case(tool, tmp_path):
    """The two files of the tool's own text."""
    lines = [line.strip() for line in tool.__doc__.splitlines() if line.startswith(('    a cat', '    b cat'))]
    paths = tmp_path / 'detections.txt', tmp_path / 'truth.txt'
    for path, rows in zip(paths, (lines[4:], lines[:4]), strict=True):
        path.write_text('\n'.join(rows) + '\n')
    return [str(path) for path in paths]


def metrics(tool, *arguments):
    assert tool.main([str(argument) for argument in arguments]) == 0
    return json.loads((arguments[-1] / 'metrics.json').read_text())['values']


def test_the_case_of_the_text(tool, case, tmp_path, capsys):
    found = metrics(tool, *case, '--out', tmp_path / 'out')
    assert found['mAP'] == pytest.approx(5 / 9)
    assert found['mAP50_11points'] == pytest.approx(6 / 11)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'metrics.json', 'metrics.txt', 'pr_curves.png'}
    printed = capsys.readouterr().out
    assert '0.545' in printed
    assert '0.556' in printed
    assert (tmp_path / 'out' / 'metrics.txt').read_text() in printed
    for number in ('5/9 = 0.556', '/ 11 = 0.545'):
        assert number in tool.__doc__


def test_settings(tool, case, tmp_path):
    out = tmp_path / 'out'
    found = metrics(tool, *case, '--mode', '11points', '--iou', '0.95', '0.5', '--score-thr', '0.65', '--out', out)
    # the fifth detection overlaps by 0.9
    assert found['mAP'] == found['mAP95_11points'] == pytest.approx(6 / 11)
    assert found['recall_micro'] == pytest.approx(1 / 3)
    assert metrics(tool, *case, '--min-score', '0.6', '--out', out)['mAP'] == pytest.approx(1 / 3)
    settings = json.loads((out / 'metrics.json').read_text())['settings']
    assert settings['min_score'] == 0.6


@pytest.mark.parametrize(
    ('arguments', 'wide'),
    [([], False), (['--legacy'], True), (['--preset', 'report'], True), (['--preset', 'report', '--no-legacy'], False)],
)
def test_width_of_boxes(tool, case, tmp_path, arguments, wide):
    metrics(tool, *case, *arguments, '--out', tmp_path)
    assert json.loads((tmp_path / 'metrics.json').read_text())['settings']['legacy_plus_one'] is wide


def test_errors(tool, case, tmp_path, capsys):
    assert tool.main([*case, '--iou', '50']) == 1
    assert 'error: iou_thrs (50.0,)' in capsys.readouterr().err
    assert tool.main([case[0], str(tmp_path / 'none.txt')]) == 1
    assert 'none.txt' in capsys.readouterr().err
    truth = Path(case[1])
    truth.write_text(truth.read_text() + 'a cat 0 0 x 9\n')
    assert tool.main(case) == 1
    assert "truth.txt:5: 'a cat 0 0 x 9': corner 'x' is no finite number" in capsys.readouterr().err
    assert tool.main(case[:1]) == 1
    assert 'holds no ground truth' in capsys.readouterr().err


def test_no_toolbox_is_imported(root, case):
    code = (
        'import runpy, sys\n'
        f'sys.argv = ["eval_detections.py", *{case!r}]\n'
        'try:\n'
        '    runpy.run_path("tools/analysis/eval_detections.py", run_name="__main__")\n'
        'except SystemExit as end:\n'
        '    assert end.code == 0\n'
        'print(sorted({"mmdet", "mmseg", "mmengine", "torch", "matplotlib"} & sys.modules.keys()))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == '[]'
