"""The doctor's child processes and its report, on simulated faults; tests/common/doctor has the single checks."""

import pytest

from mmext.common import doctor
from mmext.common.doctor.checks import ERROR, OK, TOOLBOXES
from mmext.common.toolbox_line import distribution_of, installed_line

ABSENT = {'value': {'missing': True}}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts modules with given source in front of the real ones, for child processes."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f'{name}.py').write_text(source)

    return write


def test_probe_survives_what_imports_do(fake):
    fake(
        fine='__version__ = "1.2"; print("noise")',
        raises='raise OSError("libx.so: undefined symbol\\nsecond line")',
        leaves='raise SystemExit(3)',
    )
    assert doctor.run_probes([['raises', 'fine', 'leaves'], ['absent_module']], 30) == {
        'fine': {'value': {'version': '1.2'}},
        'raises': {'error': 'OSError: libx.so: undefined symbol'},
        'leaves': {'error': 'exit status 3'},
        'absent_module': ABSENT,
    }


def test_probe_survives_a_crash_of_the_interpreter(fake):
    fake(fine='__version__ = "1.2"', crash='import os, signal; os.kill(os.getpid(), signal.SIGSEGV)')
    assert doctor.run_probes([['crash', 'fine']], 30) == {
        'crash': {'error': 'the interpreter crashed (SIGSEGV)'},
        'fine': {'value': {'version': '1.2'}},
    }


def test_a_failed_import_does_not_colour_the_next(fake):
    """The second module finds what the first left half imported, unless it gets a process of its own."""
    fake(first='import shared; shared.half = True; raise ImportError("x")', shared='half = False')
    fake(second='import shared\nif shared.half: raise RuntimeError("half")\n__version__ = "2"')
    assert doctor.run_probes([['first', 'second']], 30)['second'] == {'value': {'version': '2'}}


def test_probe_ends_an_import_that_hangs(fake):
    fake(hang='import time; time.sleep(600)')
    assert doctor.run_probes([['hang', 'fine']], 1.0) == {
        'hang': {'error': 'did not finish within 1 s'},
        'fine': {'error': 'did not finish within 1 s'},
    }


def test_broken_libraries_are_told_by_the_probe(fake):
    """A torchvision whose operators do not load and an mmcv without its compiled half, as stand-ins."""
    fake(
        torch='__version__ = "2.10.0"\ndef tensor(x): return x',
        torchvision='__version__ = "0.25.0"\nclass ops:\n  def nms(*a): raise RuntimeError("no nms\\nmore")',
        mmcv='',
    )
    found = doctor.run_probes([['torchvision', 'mmcv_ops']], 30)
    assert found['torchvision'] == {'value': {'version': '0.25.0', 'nms_error': 'no nms'}}
    assert found['mmcv_ops']['error'].startswith("ImportError: cannot import name '_ext' from 'mmcv'")


def test_probing_the_work_dir_leaves_nothing_behind(tmp_path):
    problem, free = doctor.probe_work_dir(tmp_path / 'a' / 'b')
    assert problem == ''
    assert free > 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / 'file').write_text('')
    assert doctor.probe_work_dir(tmp_path / 'file')[0].startswith('not writable')


def examine(monkeypatch, tmp_path, **probes):
    """Runs the whole examination on given findings instead of imports."""
    torch = dict(version='2.10.0', cuda_built='12.8', cudnn=91002, available=False, devices=[], device_error='')
    found = {module: {'value': {'version': '1.0'}} for _, module, _, _ in TOOLBOXES}
    found |= {name: {'value': {'version': '1'}} for name in ('numpy', 'cv2', 'mmengine', 'distutils')}
    found |= {'torch': {'value': torch}, 'torchvision': {'value': {'version': '0.25.0', 'nms_error': ''}}}
    found['mmcv_ops'] = {'value': {'compiler': 'GCC', 'cuda': 'not available'}}
    monkeypatch.setattr(doctor, 'run_probes', lambda groups, timeout_s: found | probes)
    return doctor.examine(tmp_path)


def test_healthy_environment(monkeypatch, tmp_path):
    versions, found = examine(monkeypatch, tmp_path)
    assert ERROR not in {check.status for check in found}
    mmcv = distribution_of('onedl-mmcv', installed_line())
    assert {'python', 'torch', mmcv, 'CUDA runtime', 'CPU cores', '/dev/shm'} <= set(versions)
    assert doctor.verdict(found).endswith('training can work.')


def test_everything_that_fails_for_one_reason_points_at_that_reason(monkeypatch, tmp_path):
    gone = {'error': "ModuleNotFoundError: No module named 'torch'"}
    _, found = examine(monkeypatch, tmp_path, torch=gone, torchvision=gone, mmcv_ops=gone, **{'mmseg.models': gone})
    by_name = {check.name: check for check in found}
    assert by_name['mmseg'].fix == by_name['torch'].fix
    assert found.index(by_name['torch']) < found.index(by_name['mmcv._ext']) < found.index(by_name['mmseg'])
    assert 'training cannot work' in doctor.verdict(found)


def test_report_shows_every_check_and_every_fix(monkeypatch, tmp_path):
    versions, found = examine(monkeypatch, tmp_path, mmcv_ops={'error': 'ImportError: x'})
    text = doctor.render(versions, found)
    assert all(check.name in text and check.detail in text for check in found)
    fixes = [check.fix for check in found if check.status != OK]
    assert fixes
    assert all(fixes)
    assert all(f'fix: {fix}' in text for fix in fixes)
