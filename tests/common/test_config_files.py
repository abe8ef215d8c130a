"""Reading configs: what sound ones give. What is said of others, tests/bad_inputs/test_configs.py checks."""

import ast
import importlib.util
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmext.common.config_files import (
    RUNNER_KEYS,
    ConfigError,
    building,
    check_options,
    describe_build_error,
    misspelt_names,
    read_config,
)
from mmext.common.running import load_config


@pytest.fixture
def configs(tmp_path):
    """A config of two levels and a base that two others share, which is no circle."""
    for name, text in (
        ('root', 'a = 1\n'),
        ('left', "_base_ = 'root.py'\nb = 2\n"),
        ('leaf', "_base_ = ['./left.py']\nmodel = dict(type='A', widths=[1, 2])\nc = {{_base_.a}}\n"),
    ):
        (tmp_path / f'{name}.py').write_text(text)
    return tmp_path


def test_a_sound_config_is_what_mmengine_reads(configs):
    path = configs / 'leaf.py'
    assert read_config(path)._cfg_dict == Config.fromfile(path)._cfg_dict
    assert read_config(str(path)).c == 1


@pytest.mark.parametrize(('suffix', 'text'), [('.json', '{"a": 1}'), ('.yml', 'a: 1\n'), ('.yaml', 'a: 1\n')])
def test_other_formats(tmp_path, suffix, text):
    (tmp_path / f'c{suffix}').write_text(text)
    assert read_config(tmp_path / f'c{suffix}').a == 1


def test_no_name_in_the_configs_of_the_project_and_of_the_toolboxes_is_taken_for_a_misspelt_one(root):
    packages = [importlib.util.find_spec(name) for name in ('mmseg', 'mmdet', 'mmpretrain')]
    shipped = [Path(package.origin).parent / '.mim' / 'configs' for package in packages if package]
    files = [path for folder in (root / 'configs', *shipped) for path in folder.rglob('*.py')]
    assert len(files) > 100
    names = {
        name.id
        for path in files
        for node in ast.parse(path.read_text(encoding='utf-8')).body
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    assert {'train_dataloader', 'test_pipeline', 'crop_size'} <= names
    assert misspelt_names(names) == {}


def test_options(configs):
    config = read_config(configs / 'leaf.py', {'model.widths': [5], 'randomness.seed': 3, 'b': 4})
    assert (config.model.widths, config.randomness.seed, config.b) == ([5], 3, 4)


def test_names_that_nothing_reads():
    check_options({'mine': 1}, ['mine.x', *RUNNER_KEYS], 'c.py')
    with pytest.raises(ConfigError, match=r"--cfg-options quite\.other: c\.py has no 'quite'; it would"):
        check_options({'mine': 1}, ['quite.other'], 'c.py')


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('val_evaluater', 'val_evaluator'),
        ('default_hook', 'default_hooks'),
        ('optim_wraper', 'optim_wrapper'),
        ('crop_hw', None),
        ('dataset', None),
        ('models', None),
    ],
)
def test_a_misspelt_name_is_told_of_though_a_base_has_the_right_one(tmp_path, capsys, name, meant):
    (tmp_path / 'base.py').write_text("train_dataloader = dict(batch_size=1)\nmodel = dict(type='a')\n")
    path = tmp_path / 'c.py'
    path.write_text(f"_base_ = 'base.py'\n{name} = dict(batch_size=2)\n")
    assert misspelt_names([name, *RUNNER_KEYS]) == ({name: meant} if meant else {})
    load_config(str(path))
    told = f'warning: {path}: nothing reads {name!r}; did you mean {meant!r}?\n' if meant else ''
    assert capsys.readouterr().err == told


class _Inner(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f'width={width} is not positive')


@pytest.fixture
def registered():
    """Two classes in mmengine's registry, for one test."""

    class ConfigToyInner(_Inner):
        def __init__(self, depth: int = 1, **kwargs) -> None:
            super().__init__(**kwargs)

    class ConfigToyOuter(nn.Module):
        def __init__(self, inner: dict) -> None:
            super().__init__()
            self.inner = MODELS.build(inner)

    for kind in (ConfigToyInner, ConfigToyOuter):
        MODELS.register_module(module=kind)
    yield
    for name in ('ConfigToyInner', 'ConfigToyOuter'):
        del MODELS._module_dict[name]


def outer(**inner) -> dict:
    return dict(type='ConfigToyOuter', inner={'type': 'ConfigToyInner', **inner})


@pytest.mark.usefixtures('registered')
@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (outer(type='ConfigToyIner'), "type='ConfigToyIner' is no model .*did you mean 'ConfigToyInner'"),
        (outer(type='Qqqqqqqq'), "type='Qqqqqqqq' is no model that mmengine knows; correct"),
        (outer(widht=2), "ConfigToyInner takes no argument 'widht', did you mean 'width'"),
        (outer(zzz=2), "_?ConfigToyInner takes no argument 'zzz'; correct"),
        (outer(width=-1), r'ConfigToyInner\(width=-1\) cannot be built: ValueError: width=-1 is not positive'),
        (dict(typ='ConfigToyOuter'), 'must contain the key "type"'),
    ],
)
def test_what_cannot_be_built(settings, message):
    with pytest.raises(ConfigError, match=f'c.py: .*{message}'), building('c.py'):
        MODELS.build(settings)


@pytest.mark.usefixtures('registered')
def test_what_can_be_built():
    with building('c.py'):
        assert MODELS.build(outer(width=2, depth=3)) is not None


def test_other_errors_are_left_alone():
    """A `ValueError` of our own says already what is wrong, and no registry was at work."""
    with pytest.raises(ValueError, match=r'^as it was$'), building('c.py'):
        raise ValueError('as it was')
    with pytest.raises(ConfigError, match=r'^d\.py: x$'), building('c.py'):
        raise ConfigError('d.py: x')
    with pytest.raises(ZeroDivisionError), building('c.py'):
        1 / 0  # noqa: B018
    assert describe_build_error(KeyError('a key')) == 'a key'
