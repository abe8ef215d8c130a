import pytest

from mmext.common import doctor
from mmext.common.toolbox_line import MAINTAINED, ORIGINAL, distribution_of, installed_line, requirement_of


@pytest.mark.parametrize(
    ('installed', 'expected'),
    [
        ({'mmengine': '0.10.7'}, ORIGINAL),
        ({'onedl-mmengine': '0.10.12'}, MAINTAINED),
        ({'onedl-mmengine': '0.10.12', 'mmengine': '0.10.7'}, MAINTAINED),
        ({}, MAINTAINED),
    ],
)
def test_line_is_told_by_mmengines_distribution(installed, expected):
    assert installed_line(installed.get) == expected


def test_the_line_of_this_environment_has_its_mmengine():
    from importlib.metadata import version

    import mmengine

    assert version(distribution_of('onedl-mmengine', installed_line())) == mmengine.__version__


@pytest.mark.parametrize(
    ('requirement', 'expected'),
    [
        ('onedl-mmcv<2.4,>=2.3.6', 'mmcv>=2.1,<2.2'),
        ('onedl-mmdetection<3.6,>=3.5.1; extra == "detection"', 'mmdet>=3.3,<3.4; extra == "detection"'),
        ('torch>=2.4', 'torch>=2.4'),
        ('mmext[classification,segmentation]; extra == "all"', 'mmext[classification,segmentation]; extra == "all"'),
    ],
)
def test_requirements_are_translated_for_the_original_line_alone(requirement, expected):
    assert requirement_of(requirement, ORIGINAL) == expected
    assert requirement_of(requirement, MAINTAINED) == requirement


def test_doctor_mends_an_original_line_without_the_lock_file(monkeypatch):
    monkeypatch.setattr(doctor, 'find_installer', lambda project: 'uv')
    assert doctor.find_commands(MAINTAINED).build_mmcv() == 'uv sync --reinstall-package onedl-mmcv'
    command = doctor.find_commands(ORIGINAL).build_mmcv()
    assert command.startswith('uv pip install')
    assert command.endswith(' mmcv')
