"""Whether the data of a test have the classes that a checkpoint was trained with, in the same order.

A model knows its classes by number alone. Tested on data that number them otherwise, it gets a score that looks real
and means nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from .config_listing import datasets_of
from .data_hash import hash_split, only_splits
from .listing import read_listing
from .passport import PassportError
from .quick_check import is_main_process

SHOWN = 3
FIX = (
    'Fix: test with the config that the checkpoint was trained with, or give the test data its classes in its order: '
    '--cfg-options test_dataloader.dataset.metainfo.classes=...'
)


class ClassMismatchError(ValueError):
    """The checkpoint and the data number their classes differently; the message names where and the fix."""


def check_classes(cfg: Config, checkpoint_meta: Mapping[str, Any] | None) -> None:
    """Raise if the test data's classes are not those that the checkpoint was trained with.

    Names that differ in letter case only are no error, and logged as a warning. Nothing is compared where either side
    does not say its classes. If the checkpoint knows the hash of its data (``meta['data_hash']``), it is logged when
    the test data are those of the training, or have changed since the run validated on them; that is no error.

    Args:
        cfg: Of the test, settled; `test_dataloader.dataset` counts, within any wrappers.
        checkpoint_meta: Entry ``meta`` of the checkpoint.

    Raises:
        ClassMismatchError: Another number of classes, other names, or another order.
    """
    trained = classes_of_meta(checkpoint_meta)
    dataset = cfg.get('test_dataloader', {}).get('dataset')
    if trained is None or not dataset:
        return
    tested = classes_of_dataset(dataset, cfg.get('default_scope')) or _classes_of_names(cfg, dataset)
    if tested is None:
        return
    name = Path(cfg.get('load_from') or 'the checkpoint').name
    if problem := compare_classes(trained, tested):
        raise ClassMismatchError(f'{name} cannot be tested on this data ({_kind_of(dataset)}): {problem} {FIX}')
    if spelled := [(one, other) for one, other in zip(trained, tested, strict=True) if one != other]:
        pairs = ', '.join(f'{one!r} / {other!r}' for one, other in spelled[:SHOWN])
        more = f' and {len(spelled) - SHOWN} more' if len(spelled) > SHOWN else ''
        print_log(
            f'{name}: {len(spelled)} classes differ from those of the test data in letter case only: {pairs}{more}; '
            'they are taken for the same',
            'current',
            logging.WARNING,
        )
    _note_data(cfg, checkpoint_meta, name)


def compare_classes(trained: Sequence[str], tested: Sequence[str]) -> str:
    """What is different: the first three positions, with both sides; '' if nothing but letter case is.

    Args:
        trained: Names by index, of the checkpoint.
        tested: Of the data.
    """
    ours, theirs = ([str(name).casefold() for name in names] for names in (trained, tested))
    if ours == theirs:
        return ''
    length = max(len(ours), len(theirs))
    sides = [[*names, *[None] * (length - len(names))] for names in (trained, tested)]
    folded = [[*names, *[None] * (length - len(names))] for names in (ours, theirs)]
    differing = [index for index in range(length) if folded[0][index] != folded[1][index]]
    shown = '; '.join(
        f'{index}: trained {_name(sides[0][index])}, data {_name(sides[1][index])}' for index in differing[:SHOWN]
    )
    more = f'; and {len(differing) - SHOWN} more' if len(differing) > SHOWN else ''
    if len(ours) != len(theirs):
        what = f'it was trained with {len(ours)} classes, the data have {len(theirs)}'
    elif sorted(ours) == sorted(theirs):
        what = f'the same {length} classes stand in another order'
    else:
        what = f'{len(differing)} of {length} classes have other names'
    return f'{what} ({shown}{more}).'


def classes_of_meta(meta: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Class names that a checkpoint's ``meta`` states: ``dataset_meta.classes``, or ``CLASSES`` of older versions."""
    if not isinstance(meta, Mapping):
        return None
    stated = meta.get('dataset_meta')
    for place in (stated if isinstance(stated, Mapping) else {}, meta):
        for key in ('classes', 'CLASSES'):
            if (names := _as_names(place.get(key))) is not None:
                return names
    return None


def classes_of_dataset(dataset: Mapping[str, Any], scope: str | None = None) -> tuple[str, ...] | None:
    """Class names that the settings of a data set lead to, without loading it.

    In the order in which the toolboxes look: its ``metainfo``, its ``classes`` (a list, or a file with a name a
    line), ``METAINFO`` of its class. Wrappers have the classes of what they wrap, several data sets those of the first.

    Args:
        dataset: Its settings.
        scope: The config's ``default_scope``: where its ``type`` is looked up.

    Returns:
        None where only loading the data would tell.
    """
    dataset = innermost(dataset)
    metainfo = dataset.get('metainfo') or {}
    for stated in (metainfo.get('classes'), metainfo.get('CLASSES'), dataset.get('classes')):
        if (names := _as_names(stated)) is not None:
            return names
    return _as_names((getattr(_class_of(dataset, scope), 'METAINFO', None) or {}).get('classes'))


def innermost(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings inside all wrappers (``dataset``); of several data sets (``datasets``) those of the first."""
    while isinstance(inner := dataset.get('dataset') or dataset.get('datasets'), (Mapping, list, tuple)):
        dataset = inner if isinstance(inner, Mapping) else inner[0]
    return dataset


def _note_data(cfg: Config, checkpoint_meta: Mapping[str, Any], name: str) -> None:
    """Log when the test data are those of the training, or no longer those that the run validated on."""
    stored = checkpoint_meta.get('data_hash')
    if not isinstance(stored, Mapping) or not is_main_process(cfg):
        return
    found = hash_split(cfg, 'test')
    # Only of data that the config calls the same.
    is_val = datasets_of(cfg.get('test_dataloader')) == datasets_of(cfg.get('val_dataloader'))
    if found and found == stored.get('train'):
        print_log(f'{name}: the test data are those that it was trained on', 'current', logging.WARNING)
    elif found and is_val and stored.get('val') and found != stored['val']:
        text = f'{name}: the test data have changed since the run validated on them ({stored["val"]}, now {found})'
        print_log(text, 'current', logging.WARNING)


def _class_of(dataset: Mapping[str, Any], scope: str | None) -> type | None:
    kind = dataset.get('type')
    if not isinstance(kind, str):
        return kind
    # Imports the toolbox, as building the Runner would; its own scope is set later.
    with DATASETS.switch_scope_and_registry(scope) as registry:
        return registry.get(kind)


def _classes_of_names(cfg: Config, dataset: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Classes that only the names of the test pictures tell: they are numbered as they happen to occur."""
    kind = _class_of(innermost(dataset), cfg.get('default_scope'))
    if 'FileNameLabelDataset' not in [base.__name__ for base in getattr(kind, '__mro__', ())]:
        return None
    try:
        return tuple(read_listing(only_splits(cfg, ['test'])).classes) or None
    except PassportError:
        return None


def _as_names(stated: object) -> tuple[str, ...] | None:
    if isinstance(stated, str):
        path = Path(stated).expanduser()
        if not path.is_file():
            return None
        return tuple(line.rstrip('\n\r') for line in path.read_text(encoding='utf-8').splitlines())
    if isinstance(stated, (list, tuple)) and stated:
        return tuple(str(name) for name in stated)
    return None


def _kind_of(dataset: Mapping[str, Any]) -> str:
    kind = innermost(dataset).get('type')
    return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


def _name(name: str | None) -> str:
    return 'none' if name is None else repr(name)
