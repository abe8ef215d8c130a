"""Whether the data of a config are as they were: the settings that name them, and the files' sizes and times.

Nothing is listed or opened for that. A file that was added, removed or renamed shows in the time of its folder, one
that was changed in its own.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

import mmext
from mmext.common.files import write_text

from .cache import file_state
from .config_listing import datasets_of

# Raised whenever the check finds other things, so that older reports are not used.
FORMAT = 1
# Lists and annotations that data sets read from their root without naming them in the config.
LIST_PATTERNS = ('*.txt', '*.json', '*.csv', '*/*.txt', '*/*.json', 'ImageSets/*/*.txt', '*/ImageSets/*/*.txt')
MAX_LISTS = 20_000
State = dict[str, list[int] | None]


def settings_key(cfg: Config, splits: Sequence[str]) -> str:
    """Digest of all settings that decide which files belong to the splits and how they are judged."""
    datasets = {split: datasets_of(cfg.get(f'{split}_dataloader')) for split in splits}
    content = [FORMAT, mmext.__version__, str(Path.cwd()), cfg.get('default_scope'), datasets]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def list_files(cfg: Config, splits: Sequence[str]) -> list[Path]:
    """Files that say which samples there are, as far as the settings show them: lists and annotation files."""
    found: dict[Path, None] = {}
    for split in splits:
        for dataset in datasets_of(cfg.get(f'{split}_dataloader')):
            root = str(dataset.get('data_root') or '')
            for text in _texts(dataset):
                found.update((path, None) for path in (Path(text), Path(root, text)) if _is_file(path))
            if root:
                matches = itertools.chain.from_iterable(Path(root).glob(pattern) for pattern in LIST_PATTERNS)
                found.update((path, None) for path in itertools.islice(matches, MAX_LISTS))
    return list(found)


def state_of(files: Iterable[Path], lists: Iterable[Path]) -> State:
    """Sizes and times (ns) of files, and those of their folders up to the one that all share."""
    files, lists = list(files), list(lists)
    folders: dict[Path, None] = {}
    parents = {path.parent.absolute() for path in files}
    top = Path(os.path.commonpath(parents)) if parents else Path()
    for parent in parents:
        while parent not in folders:
            folders[parent] = None
            if parent == top:
                break
            parent = parent.parent
    return {str(path): _state(path) for path in (*files, *lists, *folders)}


def is_current(state: State) -> bool:
    """Nothing has changed since the state was taken."""
    return all(_state(path) == known for path, known in state.items())


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote; empty where there is nothing, or something else."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    is_one = isinstance(content, dict) and isinstance(content.get('state'), dict) and 'report' in content
    return content if is_one else {}


def write_state(path: Path, key: str, state: State, report: Mapping[str, Any]) -> None:
    """Keep a report with the state of the files that it is about."""
    # Without indents: one line for thousands of files, which no one reads.
    write_text(path, json.dumps({'key': key, 'report': report, 'state': state}) + '\n')


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str) and node:
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _texts(value)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # Texts that are no paths: too long, or with a zero byte.
        return False


def _state(path: str | Path) -> list[int] | None:
    # A list, as JSON gives it back.
    found = file_state(path)
    return found and list(found)
