from pathlib import Path

import cv2
import pytest

from mmext.analysis.speed.records import SpeedRecord, Timing, append_speed_record


def test_published_figures_alone(load_tool, tmp_path: Path, capsys) -> None:
    out = tmp_path / 'new' / 'kitti.png'
    assert load_tool('analysis/plot_tradeoff.py').main(['--report', 'kitti', '--x', 'flops', '--out', str(out)]) == 0
    picture = cv2.imread(str(out))
    assert min(picture.shape[:2]) > 500
    assert picture.mean() > 200
    rows = out.with_suffix('.csv').read_text().splitlines()
    assert '"SegFormer B5, Cityscapes",150,80.18,published' in rows[14]
    assert f'{out}: 17 points' in capsys.readouterr().out


def test_with_records_and_dark(load_tool, tmp_path: Path, capsys) -> None:
    config = 'configs/segmentation/context/ppm_r101-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'
    time = '2026-01-01T00:00:00+00:00'
    record = SpeedRecord(config, (512, 1024), 1, 'cpu', 'fp32', False, False, time, network=Timing(9.0, 9.0, 9.0, 1))
    append_speed_record(tmp_path / 'speed.jsonl', record)
    out = tmp_path / 'context.png'
    arguments = ['--report', 'context', '--speed', str(tmp_path / 'speed.jsonl'), '--out', str(out), '--dark']
    assert load_tool('analysis/plot_tradeoff.py').main(arguments) == 0
    assert cv2.imread(str(out)).mean() < 60
    told = capsys.readouterr().out
    assert 'left out: R18, OCR: no latency, neither published nor measured here' in told
    assert '4 points' in told
    assert (
        '"R101, PPM",9,71.07,published mIoU,"published mIoU, latency measured here'
        in out.with_suffix('.csv').read_text()
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--report', 'kitti'], 'error: nothing of report kitti has an mIoU and a latency'),
        (['--report', 'nobody'], 'error: --report nobody: no published row'),
        (['--report', 'context', '--speed', 'none.jsonl'], 'error: none.jsonl: no such file of speed records'),
        (['--report', 'context', '--runs', 'none'], 'error: none'),
    ],
)
def test_what_is_wrong_is_one_line(load_tool, tmp_path: Path, monkeypatch, capsys, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_tool('analysis/plot_tradeoff.py').main([*arguments, '--out', 'a.png']) == 1
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count('\n') == 1
    assert not (tmp_path / 'a.png').exists()


def test_a_picture_of_another_kind_is_refused(load_tool, capsys) -> None:
    with pytest.raises(SystemExit):
        load_tool('analysis/plot_tradeoff.py').main(['--report', 'kitti', '--out', 'a.txt'])
    assert 'give a name that ends in .png, .svg, .pdf' in capsys.readouterr().err
