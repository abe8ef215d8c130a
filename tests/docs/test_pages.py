"""Links lead somewhere, pictures are few and used, guides are short."""

import re
from pathlib import Path

import pytest
from PIL import Image
from shell_blocks import DOCUMENTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({path for pattern in DOCUMENTS for path in ROOT.glob(pattern)})
LINK = re.compile(r'\]\(([^)\s]+)\)')
GUIDES = ['own_dataset', 'own_head', 'own_loss']


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    titles = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(('http://', 'https://')):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_picture_is_used_and_all_are_small():
    pictures = sorted((ROOT / 'docs' / 'pictures').iterdir())
    text = ''.join(page.read_text(encoding='utf-8') for page in PAGES)
    assert len(pictures) > 8
    for picture in pictures:
        assert f'pictures/{picture.name}' in text, f'{picture}: no page shows it'
        with Image.open(picture) as image:
            image.load()
            assert image.width <= 1600
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000


@pytest.mark.parametrize('name', GUIDES)
def test_guides_are_short(name):
    assert len((ROOT / 'docs' / f'{name}.md').read_text(encoding='utf-8').splitlines()) < 60
