import subprocess
from pathlib import Path

from mmext.analysis.speed.environment import busy_note, commit_of, name_of, versions


def test_commit_with_and_without_changes(tmp_path: Path, repository: Path) -> None:
    assert commit_of(tmp_path) == ''
    head = ['git', '-C', repository, 'rev-parse', 'HEAD']
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert commit_of(repository) == commit
    (repository / 'new').touch()
    assert commit_of(repository) == commit
    (repository / 'config.py').write_text('a = 2')
    assert commit_of(repository) == f'{commit}+'
    # A package that was installed into somebody's checkout is none of it.
    (repository / 'site-packages').mkdir()
    assert commit_of(repository / 'site-packages') == ''


def test_configs_are_named_from_the_project(root: Path, tmp_path: Path, monkeypatch) -> None:
    assert name_of(root / 'configs' / 'quickstart.py') == 'configs/quickstart.py'
    monkeypatch.chdir(tmp_path)
    assert name_of('mine/a.py') == 'mine/a.py'
    assert name_of('/elsewhere/a.py') == '/elsewhere/a.py'
    monkeypatch.chdir(root / 'configs')
    assert name_of('quickstart.py') == 'configs/quickstart.py'


def test_a_busy_machine_is_told(monkeypatch) -> None:
    monkeypatch.setattr('os.cpu_count', lambda: 4)
    monkeypatch.setattr('os.getloadavg', lambda: (7.2, 0, 0))
    assert busy_note() == 'the machine was busy: load 7 on 4 cores at the beginning'
    monkeypatch.setattr('os.getloadavg', lambda: (4.2, 9, 9))
    assert busy_note() == ''


def test_versions_are_found_by_module() -> None:
    found = versions('mmseg')
    assert {'python', 'mmext', 'line', 'torch', 'torchvision', 'mmengine', 'mmcv', 'mmseg'} <= found.keys()
    assert all(found.values())
