"""Settings of recipes as numbers that a card may quote."""

import pytest

from mmext.analysis.recipe_table import recipe_files
from mmext.analysis.report.config_dump import DumpError
from mmext.analysis.report.known_numbers import Known, KnownNumbers
from mmext.analysis.report.number_check import check_file, check_lines
from mmext.analysis.report.prose import markdown_lines
from mmext.analysis.report.recipe_numbers import recipe_numbers

RECIPE = """_base_ = '../../_base_/schedule.py'
optim_wrapper = dict(
    optimizer=dict(lr=3e-4, nesterov=True), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=20)))
)
scales = [(187, 621), (375, 1242)]
milestones = {7: 'x'}
"""
SCHEDULE = 'train_cfg = dict(max_iters=20_000)\nweight_decay = 0.05\n'


@pytest.fixture
def root(tmp_path):
    for path, text in (
        ('_base_/schedule.py', SCHEDULE),
        ('segmentation/a/a_4xb2-20k.py', RECIPE),
        ('segmentation/b/b_1xb3.py', 'train_cfg = dict(stages=[dict(epochs=30), dict(epochs=41)])\n'),
    ):
        file = tmp_path / 'configs' / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.fixture
def known(root):
    figure = Known(62.89, 'report: mIoU', frozenset(['configs/segmentation/a/a_4xb2-20k.py']), '%')
    return KnownNumbers([figure, *recipe_numbers(recipe_files(root), root)])


def test_settings_are_read_through_the_bases(root):
    files = recipe_files(root)
    assert [path.name for path in files] == ['a_4xb2-20k.py', 'b_1xb3.py']
    one, two = (list(recipe_numbers([path], root)) for path in files)
    # With the head's own learning rate, and the images of all GPUs.
    expected = [3e-4, 6e-3, 0.05, 2, 4, 7, 8, 20, 187, 375, 621, 1242, 20_000]
    assert sorted(known.value for known in one) == pytest.approx(expected)
    # Epochs of all stages together; a batch that is also the batch of all GPUs counts once.
    assert sorted(known.value for known in two) == [1, 3, 30, 41, 71]
    assert all(known.detail and known.subjects == {'configs/segmentation/a/a_4xb2-20k.py'} for known in one)
    assert {known.source for known in one if known.value == 3e-4} == {
        'configs/segmentation/a/a_4xb2-20k.py: optim_wrapper.optimizer.lr'
    }


def test_a_broken_recipe_is_named(root):
    path = root / 'configs' / 'segmentation' / 'a' / 'a_4xb2-20k.py'
    path.write_text('x = 1 / 0\n')
    with pytest.raises(DumpError, match=r'a_4xb2-20k\.py: cannot be read as a config'):
        list(recipe_numbers([path], root))


def test_settings_count_where_their_config_is_named(known):
    def wrong(text: str, folder: str = '') -> list[str]:
        return [problem.number for problem in check_lines(markdown_lines(text), known, 'x.md', folder)]

    settings = '| a |\n|---|\n| x | 20 000, 1e-4, 3e-4, 0.05 |'
    assert wrong(settings) == ['20 000', '1e-4', '3e-4', '0.05']
    assert wrong(settings, 'configs/segmentation/a') == ['1e-4']
    assert wrong(settings, 'configs/segmentation/b') == ['20 000', '1e-4', '3e-4', '0.05']
    # As it stands there, not rounded.
    assert wrong('[x](configs/segmentation/a/a_4xb2-20k.py) 0.05, 0.1, 0.0, 3.0e-4') == ['0.1', '0.0']


def test_a_line_of_a_card_speaks_of_what_it_links_to_or_else_of_its_folder(root, known):
    card = root / 'configs' / 'segmentation' / 'b' / 'README.md'

    def wrong(text: str) -> list[str]:
        card.write_text(text)
        return [problem.number for problem in check_file(card, known, root)]

    assert wrong('It reaches 62.89 in 71.0 epochs.') == ['62.89']
    assert wrong('[a](../a/a_4xb2-20k.py) reaches 62.89 in 71.0 epochs.') == ['71.0']
    assert wrong('[b](b_1xb3.py) reaches 62.89 in 71.0 epochs.') == ['62.89']
    # Another card is one more subject; a link elsewhere is none.
    assert wrong('As [there](../a/README.md): 62.89 in 71.0 epochs, [site](https://a.b/c), [part](#b).') == []
    assert wrong('[doc](../../../docs/x.md): 62.89') == ['62.89']
    # A page that is no card, and one outside of the project, speak of everything but details.
    for page in (root / 'README.md', root.parent / 'README.md', card.with_name('notes.md')):
        page.write_text('62.89 and 71.0')
        assert [problem.number for problem in check_file(page, known, root)] == ['71.0']
