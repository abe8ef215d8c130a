import json
import subprocess
import sys

import numpy as np
import pytest

from mmext.common.image_scores import sparse, write_image_scores

CLASSES = ('road', 'sky')


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('analysis/compare_runs.py').main


@pytest.fixture
def runs(tmp_path):
    """Three run folders: two alike, one better; the data of the second lies elsewhere."""
    truth = np.random.default_rng(0).integers(50, 500, (30, 2))
    for name, share, root in (('base', 0.6, 'data'), ('same', 0.6, '/elsewhere/data'), ('good', 0.8, 'data')):
        rng, rows = np.random.default_rng(len(name + root)), []
        for index, row in enumerate(truth):
            hits = rng.binomial(row, share)
            rows.append(
                (
                    f'{root}/val/{index}.png',
                    sparse(np.array([[hits[0], row[0] - hits[0]], [row[1] - hits[1], hits[1]]])),
                )
            )
        write_image_scores(tmp_path / name / '2026' / 'image_scores_val.jsonl', CLASSES, rows)
    return [str(tmp_path / name) for name in ('base', 'same', 'good')]


def test_one_table_and_a_file(main, runs, tmp_path, capsys):
    assert main([*runs, '--resamples', '500', '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    for expected in ('minus base', 'IoU.sky', 'better', 'no difference shown', 'image_scores_val.jsonl', 'written'):
        assert expected in printed
    report = json.loads((tmp_path / 'out' / 'comparison.json').read_text())
    assert [run['label'] for run in report['runs']] == ['base', 'same', 'good']
    good = report['runs'][2]['differences']['mIoU']
    assert good['verdict'] == 'better'
    assert good['interval'][0] < good['difference'] < good['interval'][1]
    scores = [run['scores']['mIoU'] for run in report['runs']]
    assert good['difference'] == pytest.approx(scores[2] - scores[0])


def test_metric_of_a_class(main, runs, capsys):
    assert main([*runs[:2], '--metric', 'IoU.road', '--resamples', '50']) == 0
    assert 'IoU.road in percent' in capsys.readouterr().out


def test_errors_are_one_line(main, runs, tmp_path, capsys):
    assert main([runs[0], str(tmp_path / 'gone')]) == 1
    assert 'gone: neither a file nor a folder' in capsys.readouterr().err
    assert main([*runs[:2], '--metric', 'mAP']) == 1
    assert "'mAP': no such score" in capsys.readouterr().err
    write_image_scores(tmp_path / 'other.jsonl', CLASSES, [('data/val/0.png', np.array([[0, 0, 1]]))])
    assert main([runs[0], str(tmp_path / 'other.jsonl')]) == 1
    assert 'the images differ' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'), [(['a'], 'needs two runs'), (['a', 'b', '--resamples', '0'], 'at least')]
)
def test_impossible_arguments(main, arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_needs_no_toolbox(root):
    code = (
        f'import sys; sys.argv = ["compare_runs.py", "--help"]; sys.path.insert(0, {str(root)!r})\n'
        f'import runpy\n'
        f'try: runpy.run_path({str(root / "tools/analysis/compare_runs.py")!r}, run_name="__main__")\n'
        f'except SystemExit: print([name for name in ("mmseg", "mmengine", "torch") if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert '--resamples' in done.stdout
    assert done.stdout.rstrip().endswith('[]')
