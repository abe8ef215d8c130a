"""Pages of one file: nothing in them runs, leaves the page, or is asked from a network."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mmext.common.html_page import TEMPLATES, Column, HtmlPage, Thumbnail, data_uri, format_cell

VOID = {'meta', 'img', 'source', 'br'}
HOSTILE = '<script>alert(1)</script>"\' onerror=alert(2) &amp;'


class Reader(HTMLParser):
    """Elements with attributes and text, and whether all are closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.texts = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else '', data))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag):
        return [text for name, text in self.texts if name == tag]


def png(color=(200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new('RGB', (8, 6), color).save(file, 'PNG')
    return file.getvalue()


def full_page(text: str = 'text') -> HtmlPage:
    """A page with one of everything, and ``text`` wherever a text may stand."""
    page = HtmlPage(text, text, {text: text}, text)
    section = page.section(text, text, 3)
    section.text(text)
    section.facts({text: text})
    section.notice('error', text, text, text, [text, text], 5)
    section.table([Column(text, hint=text), text], [(text, 1), (text, None)], text)
    section.figure(png(), png((0, 0, 0)), text, text)
    section.gallery([Thumbnail(png(), text, [text], 'warning'), Thumbnail(None, text, (), 'error', text)], text)
    page.section(text)
    return page


def test_a_page_is_well_formed_and_shows_everything():
    reader = Reader(full_page('some text').render())
    assert reader.open == []
    assert reader.text_of('h1') == reader.text_of('title') == ['some text']
    assert len(reader.of('table')) == 1
    assert len(reader.of('img')) == 2
    ids = [section['id'] for section in reader.of('section')]
    assert ids == ['some-text', 'some-text-2']
    assert [link['href'] for link in reader.of('a')] == ['#some-text', '#some-text-2']


def test_a_wide_gallery_has_a_style_of_its_own():
    page = HtmlPage('a')
    section = page.section('b')
    section.gallery([Thumbnail(png(), 'narrow')])
    section.gallery([Thumbnail(png(), 'wide')], wide=True)
    assert [attributes['class'] for attributes in Reader(page.render()).of('ul')] == ['gallery', 'gallery wide']
    rules = (TEMPLATES / 'page.css').read_text()
    # Also where the window is narrow.
    assert rules.count('.gallery.wide { grid-template-columns') == 2


def test_hostile_texts_are_shown_and_not_run():
    harmless, hostile = Reader(full_page('x').render()), Reader(full_page(HOSTILE).render())
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.elements] == [
        (tag, sorted(attributes)) for tag, attributes in harmless.elements
    ]
    assert hostile.text_of('h1') == [HOSTILE]
    assert len(hostile.of('script')) == 1


def test_nothing_is_asked_from_a_network():
    source = full_page().render()
    reader = Reader(source)
    addresses = [
        value
        for _, attributes in reader.elements
        for name, value in attributes.items()
        if name in ('src', 'href', 'srcset', 'action', 'data')
    ]
    assert addresses
    assert all(address.startswith(('data:image/png;base64,', '#')) for address in addresses)
    assert 'url(' not in source
    assert '@import' not in source
    assert not reader.of('link')


def test_the_policy_lets_only_the_own_script_and_style_through():
    source = full_page().render()
    policy = next(meta['content'] for meta in Reader(source).of('meta') if 'http-equiv' in meta)
    assert "default-src 'none'" in policy
    assert 'unsafe' not in policy
    for tag in ('script', 'style'):
        inside = re.search(f'<{tag}>(.*?)</{tag}>', source, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    # A policy of that kind blocks style attributes too.
    assert not any('style' in attributes for _, attributes in Reader(source).elements)


def test_invisible_characters_are_made_visible(tmp_path):
    page = HtmlPage('a\udcffb', facts={'name': 'x\u202egnp.exe\x00\x1b[0m'})
    source = page.write(tmp_path / 'new' / 'page.html').read_text(encoding='utf-8')
    assert 'a\\udcffb' in source
    assert 'x\\u202egnp.exe\\x00\\x1b[0m' in source


def test_numbers_are_sorted_as_numbers_and_shown_as_asked():
    page = HtmlPage('t')
    rows = [('a', 1234567, 0.256, True), ('b', np.int64(5), float('nan'), False), ('c', None, np.float32(0.5), None)]
    page.section('s').table(['name', 'count', Column('share', '.1%'), 'yes'], rows)
    reader = Reader(page.render())
    keys = [cell.get('data-key') for cell in reader.of('td')]
    assert keys == ['1234567.0', '0.256', '1.0', '5.0', '', '0.0', '', '0.5', '']
    assert reader.text_of('td') == ['1,234,567', '25.6%', 'yes', '5', '–', 'no', '–', '50.0%', '–']
    headings = [cell for cell in reader.of('th') if cell['scope'] == 'col']
    assert ['number' in cell.get('class', '') for cell in headings] == [False, True, True, False]
    assert all(button['type'] == 'button' for button in reader.of('button'))
    assert len(reader.of('button')) == 4
    # The box that scrolls can be reached by keyboard, and has a name.
    (box,) = [div for div in reader.of('div') if div.get('class') == 'scroll']
    assert (box['tabindex'], box['role'], box['aria-label']) == ('0', 'region', 's')


@pytest.mark.parametrize(
    ('value', 'spec', 'text'),
    [
        (None, '', '–'),
        (1234, '', '1,234'),
        (0.123456, '', '0.1235'),
        (2.0, '', '2'),
        (7, '.1f', '7.0'),
        ('x', '.1f', 'x'),
    ],
)
def test_format_cell(value, spec, text):
    assert format_cell(value, spec) == text


def test_an_empty_page_and_an_empty_table():
    page = HtmlPage('empty')
    assert Reader(page.render()).of('nav') == []
    page.section('s').table(['a', 'b'], [])
    assert Reader(page.render()).text_of('td') == ['nothing']


def test_bad_input_is_refused():
    section = HtmlPage('t').section('s')
    with pytest.raises(ValueError, match=r"table 's': 2 columns, but a row has 1"):
        section.table(['a', 'b'], [('x', 1), ('y',)])
    with pytest.raises(ValueError, match=r"level='bad': must be one of error, warning, note, ok"):
        section.notice('bad', 't', 'x')
    with pytest.raises(ValueError, match='not a PNG, JPEG, GIF or WebP picture'):
        data_uri(b'<svg onload=alert(1)>')


def test_dark_figures_are_for_screens_only():
    page = HtmlPage('t')
    page.section('s').figure(png((255, 255, 255)), png((0, 0, 0)))
    (source,) = Reader(page.render()).of('source')
    assert source['media'] == 'screen and (prefers-color-scheme: dark)'
    assert base64.b64decode(source['srcset'].split(',')[1]) == png((0, 0, 0))


def luminance(color: str) -> float:
    """WCAG 2.1, relative luminance of '#rrggbb'."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('mode', [0, 1], ids=['light', 'dark'])
def test_all_writing_has_a_contrast_of_four_and_a_half(mode):
    assert contrast('#000000', '#ffffff') == pytest.approx(21)
    blocks = re.findall(r':root \{(.*?)\}', (TEMPLATES / 'page.css').read_text(), re.S)
    assert len(blocks) == 2
    colors = dict(re.findall(r'--([\w-]+): (#\w{6});', blocks[mode]))
    for back in ('back', 'panel'):
        for front in ('text', 'muted', 'link'):
            assert contrast(colors[front], colors[back]) >= 4.5, (front, back)
    for level in ('error', 'warning', 'note', 'ok'):
        assert contrast(colors['badge-text'], colors[level]) >= 4.5, level
