"""tools/doctor.py as a user calls it, in this environment and in one with nothing installed."""

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'doctor.py'


@pytest.fixture
def tool(monkeypatch, load_tool):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    return load_tool('doctor.py')


@pytest.mark.slow
def test_this_environment_can_train(tool, tmp_path, capsys):
    start = time.monotonic()
    assert tool.main(['--work-dir', str(tmp_path / 'w'), '--json', str(tmp_path / 'f.json')]) == 0
    assert time.monotonic() - start < 90  # 12 s on two idle cores
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / 'f.json').read_text())
    assert content['ok'] is True
    by_name = {check['name']: check for check in content['checks']}
    assert by_name['torch and torchvision']['status'] == 'ok'
    assert by_name['mmcv._ext']['status'] == 'ok'
    assert {'mmseg', 'mmdet', 'mmpretrain', 'version ranges', 'CUDA'} <= set(by_name)
    assert all(name in printed for name in by_name)
    assert content['versions']['python'].startswith(f'{sys.version_info[0]}.{sys.version_info[1]}.')


def test_starts_and_explains_where_nothing_is_installed(tmp_path):
    venv.create(tmp_path / 'bare', with_pip=False, symlinks=True)
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    command = [str(tmp_path / 'bare' / 'bin' / 'python'), str(TOOL), '--json', 'f.json']
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ''
    assert "No module named 'torch'" in done.stdout
    assert 'training cannot work' in done.stdout
    checks = json.loads((tmp_path / 'f.json').read_text())['checks']
    errors = {check['name'] for check in checks if check['status'] == 'error'}
    assert {'torch', 'torch and torchvision', 'mmcv._ext', 'opencv', 'mmext', 'toolboxes'} <= errors
    assert all(check['fix'] for check in checks if check['status'] != 'ok')


def test_exit_status_follows_the_findings(tool, monkeypatch, tmp_path, capsys):
    check = tool.doctor.Check
    found = [check('a', 'ok', 'fine'), check('b', 'warning', 'so so', 'mend b')]
    monkeypatch.setattr(tool.doctor, 'examine', lambda work_dir, timeout_s: ({'python': '3'}, found))
    assert tool.main([]) == 0
    found.append(check('c', 'error', 'broken', 'mend c'))
    assert tool.main([]) == 1
    printed = capsys.readouterr().out
    assert 'fix: mend c' in printed
    assert '1 errors, 1 warnings' in printed
