"""Reads configs, and says of each that cannot be used which file, line and name are at fault, and what was meant.

mmengine lets through whatever Python raises on the way: a `SyntaxError` without a file, a `RecursionError` for bases in
a circle, a `KeyError` for a type that no registry knows. Here all of them become one `ConfigError`.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from mmengine import registry
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry

SUFFIXES = ('.py', '.yml', '.yaml', '.json')
# What a Runner reads at the top of a config; whatever else stands there is read by nobody but the config itself.
RUNNER_KEYS = frozenset(
    (
        *('model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg'),
        *('test_cfg', 'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator'),
        *('default_hooks', 'custom_hooks', 'data_preprocessor', 'load_from', 'resume', 'launcher', 'env_cfg'),
        *('log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness', 'experiment_name', 'cfg'),
        *('runner_type', 'custom_imports', 'tta_model', 'tta_pipeline', 'model_wrapper_cfg', 'sync_bn', 'vis_backends'),
        *('find_unused_parameters', 'compile'),
    )
)
# Likeness from which a name is taken for a misspelt one: 'train_dataloder' has 0.97 and 'val_evaluater' 0.92; variables
# of a config's own such as 'models' have 0.91, 'test_pipeline' 0.88.
MISSPELT = 0.92
# What building from settings raises about the settings.
BUILD_ERRORS = (KeyError, TypeError, ValueError, AttributeError, AssertionError, ImportError, IndexError, RuntimeError)
UNKNOWN_TYPE = re.compile(r'([\w.]+) is not in the (?:(\S+)::)?(.+?) registry')
UNKNOWN_ARGUMENT = re.compile(r"got an unexpected keyword argument '(\w+)'")


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the value and the fix."""


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config with its bases, and merge ``--cfg-options`` into it.

    Args:
        path: A file .py, .yml, .yaml or .json.
        options: Dotted name -> value.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: a file that is no config, a base that is missing or leads back to where it came from, code that
            fails, a name that is none, or an option that nothing reads.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such config; check the path')
    _check_file(path, ())
    try:
        config = Config.fromfile(path)
    # A config is a program: what it raises is its own affair, and it may even want to end the process.
    except (Exception, SystemExit) as error:
        raise ConfigError(f'{path}: {_reason(error)}') from error
    if options:
        check_options(config, options, path)
        try:
            config.merge_from_dict(dict(options))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ConfigError(
                f'--cfg-options {" ".join(f"{key}={value}" for key, value in options.items())}: do not fit {path} '
                f'({_text(error)}); correct the names'
            ) from error
    return config


def check_options(config: Mapping[str, Any], options: Iterable[str], path: str | Path) -> None:
    """Raise about an option whose first name neither stands in the config nor is read by a Runner.

    mmengine adds it without a word, and it has no effect.
    """
    for option in options:
        name = option.split('.')[0]
        if name not in config and name not in RUNNER_KEYS:
            raise ConfigError(
                f'--cfg-options {option}: {path} has no {name!r}{_nearest(name, {*config, *RUNNER_KEYS})}; '
                'it would have no effect. Correct or remove it'
            )


def misspelt_names(names: Iterable[str]) -> dict[str, str]:
    """Names at the top of a config that are most likely misspelt ones of `RUNNER_KEYS` -> what was meant.

    Nothing reads a misspelt name: the run takes a base's setting, or the default, in its place.
    """
    near = {name: get_close_matches(name, RUNNER_KEYS, n=1, cutoff=MISSPELT) for name in names}
    return {name: found[0] for name, found in near.items() if found and name not in RUNNER_KEYS}


@contextmanager
def building(path: str | Path) -> Iterator[None]:
    """Turn what is raised about settings inside the block into one `ConfigError` about the config.

    A type or an argument that is unknown comes with the nearest one that is not.
    """
    try:
        yield
    except ConfigError:
        raise
    except BUILD_ERRORS as error:
        if isinstance(error, ValueError) and not _class_being_built(error.__traceback__):
            raise
        raise ConfigError(f'{path}: {describe_build_error(error)}') from error


def describe_build_error(error: BaseException) -> str:
    """What is wrong with the settings that something was built from, in one line."""
    text = _text(error)
    if unknown := UNKNOWN_TYPE.search(text):
        name, scope, kind = unknown.groups()
        near = _nearest(name, _known_types(kind, scope))
        return f'type={name!r} is no {kind} that {scope or "mmengine"} knows{near}; correct the name or custom_imports'
    built = _class_being_built(error.__traceback__)
    if built is None:
        return text
    kind, settings = built
    if unknown := UNKNOWN_ARGUMENT.search(text):
        name = unknown[1]
        return f'{kind.__name__} takes no argument {name!r}{_nearest(name, _arguments(kind))}; correct or remove it'
    shown = ', '.join(f'{key}={str(value)[:40]}' for key, value in settings.items() if not isinstance(value, dict))
    return f'{kind.__name__}({shown[:200]}) cannot be built: {type(error).__name__}: {text}; correct the settings'


def _check_file(path: Path, above: tuple[Path, ...]) -> None:
    """Raise about a file, or one of its bases, that mmengine would stumble over."""
    if path.is_dir():
        raise ConfigError(f'{path}: is a folder; give the path of a config file')
    if path.suffix not in SUFFIXES:
        raise ConfigError(f'{path}: no config by its suffix {path.suffix!r}; one of {", ".join(SUFFIXES)}')
    here = path.resolve()
    if here in above:
        circle = ' -> '.join(file.name for file in (*above[above.index(here) :], here))
        raise ConfigError(f'{path}: its bases lead in a circle ({circle}); remove one _base_')
    for base in _bases(path):
        if '::' in base:
            continue
        file = path.parent / base
        if not file.exists():
            raise ConfigError(f'{path}: its base {base!r} is missing ({file}); correct _base_')
        _check_file(file, (*above, here))


def _bases(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding='utf-8')
        if path.suffix != '.py':
            content = json.loads(text) if path.suffix == '.json' else yaml.safe_load(text)
            if not isinstance(content, dict):
                raise ConfigError(
                    f'{path}: holds {type(content).__name__}, expected names and values; correct the file'
                )
            found = content.get('_base_', [])
        else:
            found = next((_literal(path, node) for node in ast.parse(text).body if _assigns_bases(node)), [])
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path}: no UTF-8 text ({error}); give a config file') from error
    except SyntaxError as error:
        line = (error.text or '').strip()
        raise ConfigError(
            f'{path}:{error.lineno or 0}: {error.msg}{f": {line}" if line else ""}; correct it'
        ) from error
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f'{path}: no valid {path.suffix[1:].upper()} ({_text(error)}); correct it') from error
    bases = [found] if isinstance(found, str) else found
    if not isinstance(bases, (list, tuple)) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f'{path}: _base_ is {found!r}; expected a path or a list of paths')
    return list(bases)


def _assigns_bases(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(getattr(target, 'id', '') == '_base_' for target in node.targets)


def _literal(path: Path, node: ast.Assign) -> Any:
    try:
        return ast.literal_eval(node.value)
    except (ValueError, SyntaxError, TypeError) as error:
        raise ConfigError(f'{path}:{node.lineno}: _base_ is computed; write the paths out') from error


def _reason(error: BaseException) -> str:
    """Why a config whose text is sound cannot be read."""
    text = _text(error)
    if isinstance(error, ImportError):
        # mmengine lists the whole sys.path.
        cause = _text(error.__cause__) if error.__cause__ else text.partition(', the current sys.path')[0]
        return f'{cause}; install the package, put its folder into PYTHONPATH, or correct custom_imports'
    if isinstance(error, KeyError) and error.args and error.args[0] == text and re.fullmatch(r'\w+', text):
        return f'{{{{_base_.{text}}}}} refers to {text!r}, which no base has; correct the name'
    if isinstance(error, NameError):
        return f'{text}; correct the name or define it first'
    return f'{type(error).__name__}: {text}; correct the config'


def _text(error: BaseException) -> str:
    """The first line of a message; that of a `KeyError` without the quotes around it."""
    whole = error.args[0] if isinstance(error, KeyError) and error.args else error
    return (str(whole).strip().splitlines() or [type(error).__name__])[0]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(set(known)), n=1, cutoff=0.5)
    return f', did you mean {near[0]!r}?' if near else ''


def _known_types(kind: str, scope: str | None) -> set[str]:
    """Names in all registries of a kind: that of the scope, mmengine's own, and those of other toolboxes loaded."""
    roots = (value for value in vars(registry).values() if isinstance(value, Registry) and value.name == kind)
    found = set()
    for root in roots:
        found |= root.module_dict.keys()
        # A toolbox's registries are the children of mmengine's.
        for name, child in root.children.items():
            if name == (scope or DefaultScope.get_current_instance()):
                found |= child.module_dict.keys()
    return found


def _class_being_built(trace: TracebackType | None) -> tuple[Any, Mapping[str, Any]] | None:
    """The innermost class (or function) that a registry was calling, and with what."""
    found = None
    while trace:
        values = trace.tb_frame.f_locals
        if trace.tb_frame.f_code.co_name == 'build_from_cfg' and callable(values.get('obj_cls')):
            found = values['obj_cls'], values.get('args') or {}
        trace = trace.tb_next
    return found


def _arguments(kind: Any) -> set[str]:
    """Names of the arguments of a class and of those that it hands others on to."""
    classes = inspect.getmro(kind) if inspect.isclass(kind) else [kind]
    names = set()
    for each in classes:
        try:
            names |= inspect.signature(each).parameters.keys()
        except (TypeError, ValueError):  # builtins without a signature
            continue
    return names - {'self', 'args', 'kwargs'}
