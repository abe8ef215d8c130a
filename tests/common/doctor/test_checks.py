"""Each check with the fault that it is for, handed to it; and the commands that mend things."""

import sys

import pytest

from mmext.common.doctor import checks
from mmext.common.doctor.checks import ERROR, OK, TOOLBOXES, WARNING
from mmext.common.doctor.commands import Commands, find_installer, torchvision_for

PIP, UV, UV_PIP = Commands('pip'), Commands('uv'), Commands('uv pip')
ABSENT = {'value': {'missing': True}}


def torch(version='2.10.0+cu128', cuda_built='12.8', available=False, devices=(), device_error='') -> dict:
    return {
        'value': {
            'version': version,
            'cuda_built': cuda_built,
            'cudnn': 91002,
            'available': available,
            'devices': list(devices),
            'device_error': device_error,
        }
    }


def vision(version='0.25.0+cu128', nms_error='') -> dict:
    return {'value': {'version': version, 'nms_error': nms_error}}


def outcome(check) -> tuple[str, str]:
    return check.status, check.fix


@pytest.mark.parametrize(
    ('torch_version', 'expected'),
    [('2.4.0', '0.19.0'), ('2.5.1', '0.20.1'), ('2.10.0+cpu', '0.25.0'), ('1.13.1', None), ('nightly', None)],
)
def test_pairs_of_the_published_table(torch_version, expected):
    assert torchvision_for(torch_version) == expected


def test_right_pair():
    assert outcome(checks.check_pair(torch(), vision(), PIP)) == (OK, '')
    assert outcome(checks.check_pair(torch('2.11.0a0+git1'), vision('0.26.0a0+1'), PIP)) == (OK, '')


def test_pair_whose_operators_do_not_load():
    broken = 'operator torchvision::nms does not exist'
    fix = 'pip install --force-reinstall torch==2.10.0 torchvision==0.25.0'
    check = checks.check_pair(torch('2.10.0+cpu'), vision(nms_error=broken), PIP)
    assert outcome(check) == (ERROR, fix)
    assert broken in check.detail
    assert outcome(checks.check_pair(torch(), {'error': f'RuntimeError: {broken}'}, PIP)) == (ERROR, fix)


def test_wrong_pair_that_happens_to_run():
    check = checks.check_pair(torch('2.9.1'), vision('0.25.0'), PIP)
    assert outcome(check) == (WARNING, 'pip install --force-reinstall torch==2.9.1 torchvision==0.24.1')
    assert 'goes with torchvision 0.24.1' in check.detail


def test_no_torch():
    missing = {'error': "ModuleNotFoundError: No module named 'torch'"}
    fix = 'pip install --force-reinstall torch==2.10.0 torchvision==0.25.0'
    assert outcome(checks.check_torch(missing, PIP)) == (ERROR, fix)
    assert outcome(checks.check_pair(missing, missing, PIP)) == (ERROR, fix)
    assert checks.check_cuda(missing, [], PIP).status == WARNING
    assert checks.check_mmcv_cuda(missing, missing, PIP) is None


def test_mmcv_without_operators():
    missing = {'error': "ModuleNotFoundError: No module named 'mmcv._ext'"}
    check = checks.check_mmcv_ops(missing, PIP)
    assert check.status == ERROR
    assert check.fix == (
        'pip install --no-build-isolation --no-binary onedl-mmcv --no-deps --force-reinstall --no-cache-dir onedl-mmcv'
    )
    assert 'mmcv._ext' in check.detail
    assert checks.check_mmcv_ops(missing, UV).fix == 'uv sync --reinstall-package onedl-mmcv'
    assert checks.check_mmcv_ops({'value': {'compiler': 'GCC 12.2', 'cuda': 'x'}}, PIP).status == OK


@pytest.mark.parametrize(
    ('finding', 'gpus', 'status', 'text'),
    [
        (torch(), [], OK, 'CPU only: no GPU found'),
        (torch(cuda_built=None), [], OK, 'CPU only: no GPU found'),
        (torch(cuda_built=None), ['H100, 550.1'], WARNING, 'built without CUDA'),
        (torch(), ['H100, 470.1'], WARNING, 'the driver is too old'),
        (torch(available=True, devices=['H100, 80 GiB']), ['H100, 550.1'], OK, '1 GPU: H100'),
        (torch(available=True, devices=['K80'], device_error='no kernel image'), [], ERROR, 'no kernel image'),
    ],
)
def test_cuda(finding, gpus, status, text):
    check = checks.check_cuda(finding, gpus, PIP)
    assert check.status == status
    assert text in check.detail
    assert bool(check.fix) == (status != OK)


def test_mmcv_without_gpu_operators_matters_only_beside_a_gpu():
    ops = {'value': {'compiler': 'GCC', 'cuda': 'not available'}}
    assert checks.check_mmcv_cuda(torch(), ops, PIP) is None
    gpu = torch(available=True, devices=['H100'])
    check = checks.check_mmcv_cuda(gpu, ops, UV)
    assert outcome(check) == (WARNING, 'FORCE_CUDA=1 uv sync --reinstall-package onedl-mmcv')
    assert checks.check_mmcv_cuda(gpu, {'value': {'compiler': 'GCC', 'cuda': '12.8'}}, UV).status == OK


def test_two_packages_own_cv2():
    found = {'value': {'version': '4.14.0'}}
    both = ['opencv-python-headless', 'opencv-python', 'opencv-python']
    check = checks.check_opencv(both, found, PIP)
    assert check.status == WARNING
    assert check.detail.startswith('opencv-python and opencv-python-headless both own')
    assert check.fix.startswith('pip uninstall -y opencv-python opencv-python-headless && pip install ')
    assert checks.check_opencv([], ABSENT, PIP).fix == 'pip install "opencv-python-headless>=4.8,<5"'
    assert checks.check_opencv(both[:1], found, PIP).status == OK
    broken = checks.check_opencv(['opencv-python'], {'error': 'ImportError: libGL.so.1: cannot open'}, PIP)
    assert broken.status == ERROR
    assert 'libGL' in broken.detail
    assert checks.check_opencv([], ABSENT, UV).fix == 'uv sync --reinstall-package opencv-python-headless'


def toolboxes(**changes) -> dict:
    found = {module: {'value': {'version': '1.0'}} for _, module, _, _ in TOOLBOXES}
    return found | {f'{package}.models': finding for package, finding in changes.items()}


def no_version(distribution):
    return None


def test_toolbox_that_is_not_installed_is_a_warning():
    found = checks.check_toolboxes(toolboxes(mmdet=ABSENT), no_version, PIP)
    assert [check.status for check in found] == [OK, WARNING, OK]
    assert found[1].fix == 'pip install "mmext[detection]"'


def test_no_toolbox_at_all_is_an_error():
    found = checks.check_toolboxes(toolboxes(mmseg=ABSENT, mmdet=ABSENT, mmpretrain=ABSENT), no_version, PIP)
    assert [check.status for check in found] == [WARNING] * 3 + [ERROR]
    assert found[-1].fix == 'pip install "mmext[all]"'


def test_toolbox_that_does_not_import():
    broken = {'error': 'AttributeError: gone'}
    check = checks.check_toolboxes(toolboxes(mmseg=broken), lambda name: '1.4.2', PIP)[0]
    assert outcome(check) == (ERROR, 'pip install --force-reinstall --no-deps onedl-mmsegmentation==1.4.2')
    assert 'AttributeError: gone' in check.detail
    # Nothing is gained by reinstalling a toolbox that fails because torch is missing.
    assert checks.check_toolboxes(toolboxes(mmseg=broken), no_version, PIP, 'mend torch')[0].fix == 'mend torch'


def test_transformers_5_breaks_the_toolboxes():
    assert outcome(checks.check_transformers('5.1.0', True, PIP)) == (ERROR, 'pip install "transformers<5"')
    assert checks.check_transformers('4.57.6', True, PIP).status == OK
    assert checks.check_transformers('5.1.0', False, PIP) is None
    assert checks.check_transformers(None, True, PIP) is None


REQUIREMENTS = [
    'torch>=2.4',
    'onedl-mmcv<2.4,>=2.3.6',
    'numpy>=1.26',
    'opencv-python-headless<5,>=4.8',
    'onedl-mmsegmentation<1.5,>=1.4.2; extra == "segmentation"',
    'ftfy>=6; extra == "segmentation"',
    'onedl-mmdetection<3.6,>=3.5.1; extra == "detection"',
    'mmext[segmentation]; extra == "all"',
    'tomli>=2; python_version < "3"',
]
INSTALLED = {
    'torch': '2.10.0+cu128',
    'onedl-mmcv': '2.3.6',
    'numpy': '2.4.6',
    'opencv-python-headless': '4.14.0',
    'onedl-mmsegmentation': '1.4.2',
    'ftfy': '6.3',
}


def judge(changes: dict) -> dict:
    installed = INSTALLED | changes
    return {check.name: outcome(check) for check in checks.check_requirements(REQUIREMENTS, installed.get, PIP)}


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, {'version ranges': (OK, '')}),
        ({'numpy': '1.24.0'}, {'numpy': (ERROR, 'pip install "numpy>=1.26"')}),
        ({'numpy': None}, {'numpy': (ERROR, 'pip install "numpy>=1.26"')}),
        ({'torch': '2.3.1'}, {'torch': (ERROR, PIP.torch_pair())}),
        ({'onedl-mmcv': '2.4.0'}, {'onedl-mmcv': (ERROR, PIP.build_mmcv())}),
        ({'ftfy': None}, {'ftfy': (ERROR, 'pip install "ftfy>=6"')}),
        # An extra that nobody asked for, and the other package that provides cv2.
        ({'onedl-mmsegmentation': None, 'ftfy': None}, {'version ranges': (OK, '')}),
        ({'opencv-python-headless': None, 'opencv-python': '4.14.0'}, {'version ranges': (OK, '')}),
        ({'onedl-mmdetection': '3.6.0'}, {'onedl-mmdetection': (ERROR, 'pip install "onedl-mmdetection<3.6,>=3.5.1"')}),
    ],
)
def test_version_ranges(changes, expected):
    assert judge(changes) == expected


def test_mmext_itself_is_not_installed():
    (check,) = checks.check_requirements([], INSTALLED.get, PIP)
    fix = 'pip install "setuptools>=77,<81" && pip install --no-build-isolation -e .'
    assert outcome(check) == (ERROR, fix)


def test_version_ranges_without_packaging(monkeypatch):
    monkeypatch.setitem(sys.modules, 'packaging.requirements', None)
    (check,) = checks.check_requirements(REQUIREMENTS, INSTALLED.get, PIP)
    assert outcome(check) == (WARNING, 'pip install packaging')


@pytest.mark.parametrize(
    ('version', 'status'), [((3, 9, 1), ERROR), ((3, 10, 0), OK), ((3, 12, 9), OK), ((3, 13, 0), ERROR)]
)
def test_python(version, status):
    check = checks.check_python(version, UV)
    assert check.status == status
    assert bool(check.fix) == (status == ERROR)


def test_other_imports():
    assert outcome(checks.check_import('numpy', ABSENT, 'fix')) == (ERROR, 'fix')
    assert outcome(checks.check_import('numpy', {'error': 'ImportError: x'}, 'fix')) == (ERROR, 'fix')
    assert outcome(checks.check_import('numpy', {'value': {'version': '2'}}, 'fix')) == (OK, '')


def test_work_dir():
    assert checks.check_work_dir('w', 'not writable', 0).status == ERROR
    assert outcome(checks.check_work_dir('w', '', 10 * checks.GIB)) == (OK, '')
    assert checks.check_work_dir('w', '', checks.GIB).status == WARNING


def test_shared_memory():
    assert checks.check_shared_memory(None) is None
    assert checks.check_shared_memory(64 * 2**20).status == WARNING
    assert checks.check_shared_memory(8 * checks.GIB).status == OK


def test_installer(tmp_path):
    assert find_installer(tmp_path, tmp_path) == 'pip'
    (tmp_path / 'pyvenv.cfg').write_text('home = /usr\nuv = 0.9\n')
    assert find_installer(tmp_path, tmp_path) == 'uv pip'
    (tmp_path / 'uv.lock').write_text('')
    assert find_installer(tmp_path, tmp_path) == 'uv'


def test_every_command_names_its_installer():
    for commands in (PIP, UV, UV_PIP):
        for command in (commands.install('a>=1'), commands.torch_pair(), commands.one_opencv(), commands.build_mmcv()):
            assert command.startswith(commands.installer + ' ')
