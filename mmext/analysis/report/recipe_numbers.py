"""The numbers of the recipes' settings, which a card may quote beside its scores: batch, crop, learning rate, epochs.

They are many, and mostly small: each counts only where its own config is spoken of, and only as it stands there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .config_dump import read_recipe, total_steps
from .known_numbers import SETTING, Known

# GPUs and images a GPU in the name of a config: 8xb2.
BATCH = re.compile(r'_(\d+)xb(\d+)')


def recipe_numbers(paths: Iterable[str | Path], root: str | Path) -> Iterator[Known]:
    """Every number that a recipe holds, once each, as a detail of that recipe.

    Args:
        paths: Of recipes below ``root``.
        root: Folder that holds configs/.

    Raises:
        DumpError: as `read_recipe`.
    """
    for path in paths:
        name = Path(path).resolve().relative_to(Path(root).resolve()).as_posix()
        recipe, found = read_recipe(path), dict[float, str]()
        steps, unit = total_steps(recipe)
        total = [(f'{unit}s in all', steps)] if steps is not None else []
        for setting, value in [*_numbers(recipe, ''), *_images(name), *_rates(recipe), *total]:
            found.setdefault(float(value), setting)
        for value, setting in found.items():
            yield Known(value, f'{name}: {setting}', frozenset([name]), SETTING, detail=True)


def _images(name: str) -> Iterator[tuple[str, int]]:
    """GPUs, images a GPU and images of all of them."""
    for gpus, batch in BATCH.findall(name):
        yield from (('GPUs', int(gpus)), ('batch', int(batch)), ('batch of all GPUs', int(gpus) * int(batch)))


def _rates(recipe: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Learning rates of the parts of a network that have a factor of their own."""
    wrapper = recipe.get('optim_wrapper') or {}
    rate = (wrapper.get('optimizer') or {}).get('lr')
    for name, factor in _numbers(wrapper, '') if rate is not None else ():
        if name.endswith('.lr_mult'):
            yield f'lr of {name}', rate * factor


def _numbers(node: Any, name: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            # Layers and stages may be numbered.
            if isinstance(key, (int, float)) and not isinstance(key, bool):
                yield name, key
            yield from _numbers(value, f'{name}.{key}' if name else str(key))
    elif isinstance(node, (list, tuple, set, frozenset)):
        for value in node:
            yield from _numbers(value, name)
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield name, node
