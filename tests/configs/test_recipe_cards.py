"""Every recipe says what it is: its docstring, and its entry in the metafile beside it."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LEAVES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/**/*.py') if '_base_' not in path.parts
)
# How a card says what was reached here.
REACHED = {'segmentation': r'mIoU \d', 'detection': r'mAP@.5 0\.\d', 'classification': r'top-1 \d'}


def card_of(leaf: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / leaf).read_text()))


def test_there_are_leaves():
    assert len(LEAVES) >= 70
    assert {Path(leaf).parts[1] for leaf in LEAVES} == REACHED.keys()


@pytest.mark.parametrize('leaf', [*LEAVES, 'configs/quickstart.py'])
def test_card_names_its_own_command(leaf):
    assert f'python tools/train.py {leaf}' in card_of(leaf)


@pytest.mark.parametrize('leaf', LEAVES)
def test_card_says_what_was_published_and_what_was_reached(leaf):
    card, reached = card_of(leaf), REACHED[Path(leaf).parts[1]]
    assert 'Published' in card
    assert ('Not trained here' in card) != bool(re.search(f'Trained here: {reached}', card))


@pytest.mark.parametrize('leaf', LEAVES)
def test_metafile_lists_it(leaf):
    content = yaml.safe_load((ROOT / leaf).with_name('metafile.yml').read_text())
    (entry,) = [model for model in content['Models'] if model['Config'] == leaf]
    assert entry['Name'] == Path(leaf).stem
    for result in entry['Results']:
        assert result['Trained Here'] == ('Trained here' in card_of(leaf))
