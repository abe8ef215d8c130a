"""The cards of the recipes and of the data: every number has a source, and a wrong one does not."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mmext.analysis.published import read_published
from mmext.analysis.recipe_table import recipe_files
from mmext.analysis.report.known_numbers import KnownNumbers, file_numbers, published_numbers, speed_numbers
from mmext.analysis.report.number_check import check_file, check_lines, claims
from mmext.analysis.report.prose import read_lines
from mmext.analysis.report.recipe_numbers import recipe_numbers
from mmext.analysis.speed.records import read_speed_records

ROOT = Path(__file__).parents[3]
CARDS = [ROOT / 'data' / 'README.md', *sorted(ROOT.glob('configs/*/*/README.md'))]
MEASURED = ROOT / 'docs' / 'measured.json'


@pytest.fixture(scope='module')
def known() -> KnownNumbers:
    files = (MEASURED, ROOT / 'docs' / 'recipes.json')
    return KnownNumbers(
        [
            *published_numbers(read_published()),
            *speed_numbers(read_speed_records(ROOT / 'docs' / 'speed.jsonl')),
            *(number for path in files for number in file_numbers(path)),
            *recipe_numbers(recipe_files(ROOT), ROOT),
        ]
    )


@pytest.mark.parametrize('card', CARDS, ids=lambda path: path.parent.name)
def test_every_number_of_a_card_has_a_source(card, known):
    assert [str(problem) for problem in check_file(card, known, ROOT)] == []


@pytest.mark.parametrize(
    ('card', 'right', 'wrong'),
    [
        # Scores, also that of another row.
        ('configs/segmentation/pspnet', '| 59.33 |', '| 59.34 |'),
        ('configs/segmentation/pspnet', '| 59.33 |', '| 63.70 |'),
        ('configs/segmentation/cwd', '| 54.49 |', '| 54.94 |'),
        ('configs/classification/vit', '43.78 / 71.77', '43.78 / 71.17'),
        ('configs/classification/vgg', '0.67792', '0.67729'),
        ('configs/detection/faster_rcnn', '| 0.649 |', '| 0.694 |'),
        ('configs/detection/faster_rcnn', '0.8730', '0.8370'),
        ('configs/segmentation/context', '+0.35 to', '+0.53 to'),
        # GMACs, parameters, times.
        ('configs/segmentation/fcn', '123.692', '123.629'),
        ('configs/segmentation/psanet', '508.414', '508.441'),
        ('configs/segmentation/segformer', '| 24.73 M |', '| 24.37 M |'),
        ('configs/segmentation/segnet', '29.443 M', '29.434 M'),
        ('configs/segmentation/context', '| 771 |', '| 717 |'),
        ('configs/segmentation/context', '| 6.80 |', '| 6.08 |'),
        # Settings.
        ('configs/segmentation/segformer', 'AdamW, 1e-5', 'AdamW, 3e-5'),
        ('configs/segmentation/unet', '| 20 000 iterations', '| 30 000 iterations'),
        ('configs/segmentation/context', 'SGD 0.01', 'SGD 0.03'),
        ('data', '| 5011 +', '| 5101 +'),
        ('data', '3.4 MB', '3.9 MB'),
    ],
)
def test_a_planted_number_is_found(card, right, wrong, known, tmp_path):
    text = (ROOT / card / 'README.md').read_text()
    assert right in text
    copy = tmp_path / card / 'README.md'
    copy.parent.mkdir(parents=True)
    # In every row that prints it.
    copy.write_text(text.replace(right, wrong))
    assert check_file(copy, known, tmp_path)


def test_most_changes_of_a_digit_are_found(known):
    draw = random.Random(0)
    rows = [
        (card, line, number)
        for card in CARDS[1:]
        for line in read_lines(card)
        # Scores, sizes and times stand in rows that link to their recipe.
        if line.cells and '.py)' in line.text
        for number in claims(line)
    ]
    assert len(rows) > 200
    excuses = {card: [line for line in read_lines(card) if '<!--' in line.text] for card in CARDS}
    found = 0
    for card, line, number in draw.choices(rows, k=200):
        wrong = _other_digit(number, draw)
        row = replace(line, cells=tuple(_replaced(cell, number, wrong) for cell in line.cells))
        found += bool(check_lines([row, *excuses[card]], known, '', card.parent.relative_to(ROOT).as_posix()))
    assert found > 190


def _other_digit(number: str, draw: random.Random) -> str:
    place = draw.choice([place for place, digit in enumerate(number) if digit.isdigit()])
    return (
        number[:place] + draw.choice([digit for digit in '123456789' if digit != number[place]]) + number[place + 1 :]
    )


def _replaced(cell: str, number: str, wrong: str) -> str:
    return re.sub(rf'(?<![\w.]){re.escape(number)}(?![\w.]*[\w])', wrong, cell)


def test_measured_figures_name_what_is_there_and_where_they_come_from():
    for entry in json.loads(MEASURED.read_text()):
        assert entry['source'].strip()
        assert entry['figures']
        if 'config' in entry:
            assert (ROOT / entry['config']).is_file()
        elif entry['data'].startswith('data/samples/'):
            files = [path for path in (ROOT / entry['data']).rglob('*') if path.is_file()]
            # Within the rounding of the card.
            assert entry['figures']['size']['value'] == pytest.approx(
                sum(path.stat().st_size for path in files), abs=4e4
            )
