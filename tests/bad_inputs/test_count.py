"""There are enough cases, of every kind."""

from collections import Counter
from pathlib import Path

import pytest

LEAST = 100


def test_number_of_cases(collected_cases, capsys):
    files = {path.name for path in Path(__file__).parent.glob('test_*.py')}
    counts = Counter(item.path.name for item in collected_cases if item.path.name != Path(__file__).name)
    if counts.keys() | {Path(__file__).name} != files:
        pytest.skip('only a part of the folder was collected')
    with capsys.disabled():
        kinds = ', '.join(f'{name[5:-3]} {count}' for name, count in sorted(counts.items()))
        print(f'\n{counts.total()} cases of bad input: {kinds}')
    assert counts.total() >= LEAST
    assert min(counts.values()) >= 4
