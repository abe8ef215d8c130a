"""Which files an input means, in which order, and what their results are called."""

import random
from pathlib import Path

import pytest

from mmext.common.prediction.inputs import check_outputs, find_images, natural_key, output_names


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path('photos')
    for name in ('img10.png', 'img2.png', 'a/img1.JPG', 'a/b/deep.tiff', '.hidden.png', '.git/x.png', 'notes.md'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


EXPECTED = ['photos/a/b/deep.tiff', 'photos/a/img1.JPG', 'photos/img2.png', 'photos/img10.png']


def test_folder_pattern_and_list_give_the_same_files_in_the_same_order(photos):
    Path('list.txt').write_text('\n'.join(['\ufeffphotos/img10.png', '', *EXPECTED[2::-1]]) + '\r\n', encoding='utf-8')
    for inputs in (['photos'], ['photos/'], ['photos/**/*'], ['list.txt'], ['phot?s'], EXPECTED[::-1]):
        assert [path.as_posix() for path in find_images(inputs)] == EXPECTED, inputs


def test_a_file_that_several_inputs_name_comes_once(photos):
    inputs = [
        'photos',
        './photos/img2.png',
        'photos/a/../img2.png',
        str(photos.absolute() / 'img2.png'),
        'photos/*.png',
    ]
    assert [path.as_posix() for path in find_images(inputs)] == EXPECTED


def test_numbers_in_names_count_as_numbers():
    names = ['a/x2', 'a/x10', 'a2/x1', 'a10/x1', 'b', 'x', 'x01', 'x1', 'x1y', 'x1y2', 'x2', 'x²']
    assert sorted(random.Random(0).sample(names, len(names)), key=natural_key) == names


def test_lines_of_a_list_are_relative_to_it_first(photos, tmp_path):
    lists = tmp_path / 'lists'
    lists.mkdir()
    (lists / 'near.png').touch()
    (lists / 'list.TXT').write_text('near.png\nphotos/img2.png\ngone.png\n')
    found = {path.as_posix() for path in find_images(['lists/list.TXT'])}
    # What is nowhere is kept, so that the run can report it.
    assert found == {'lists/near.png', 'photos/img2.png', 'lists/gone.png'}


def test_a_single_file_may_have_any_suffix_and_magic_characters(photos):
    for name in ('frame.dat', 'odd[1].png', 'what?.png'):
        Path(name).touch()
        assert find_images([name]) == [Path(name)]


def test_links_are_followed_but_not_in_circles(photos):
    (photos / 'a' / 'up').symlink_to('..')
    Path('link').symlink_to('photos')
    assert [path.as_posix() for path in find_images(['link'])] == [name.replace('photos', 'link') for name in EXPECTED]


@pytest.mark.parametrize(
    ('name', 'error', 'message'),
    [
        ('nowhere', FileNotFoundError, 'nowhere: no such file or folder'),
        ('nowhere/*.png', ValueError, r'nowhere/\*\.png: no picture'),
        ('photos/.git/none', FileNotFoundError, 'no such'),
        ('empty', ValueError, r'empty: no picture in it; known suffixes are \.bmp'),
        ('empty.txt', ValueError, r'empty\.txt: no picture'),
        ('binary.txt', ValueError, r'binary\.txt: not UTF-8 text'),
    ],
)
def test_inputs_without_a_picture_are_named(photos, name, error, message):
    Path('empty').mkdir()
    Path('empty.txt').write_text('\n \n')
    Path('binary.txt').write_bytes(b'\xff\xd8\xff\xe0')
    with pytest.raises(error, match=message):
        find_images(['photos', name])


def test_names_are_places_below_the_common_folder():
    assert output_names([Path('d/x.png')]) == ['x']
    assert output_names([Path('d/x.png'), Path('d/y.v2.jpg')]) == ['x', 'y.v2']
    assert output_names([Path('d/a/1.jpg'), Path('d/b/1.jpg')]) == ['a/1', 'b/1']
    assert output_names([Path('d/../e/1.jpg'), Path('1.jpg')]) == ['e/1', '1']
    assert output_names([]) == []


def test_equal_names_keep_their_suffixes():
    assert output_names([Path('1.jpg'), Path('1.png'), Path('2.png')]) == ['1.jpg', '1.png', '2']
    assert output_names([Path('1.png'), Path('1.jpg.png'), Path('1.jpg')]) == ['1.png', '1.jpg.png', '1.jpg']
    assert output_names([Path('A.jpg'), Path('a.png')]) == ['A.jpg', 'a.png']


def test_names_are_unique_and_stay_below_the_output():
    rng = random.Random(1)
    for _ in range(200):
        paths = {
            Path(*rng.choices('ab', k=rng.randint(0, 2)), rng.choice('xy') + rng.choice(('.jpg', '.png.jpg', '.png')))
            for _ in range(8)
        }
        names = output_names(sorted(paths))
        assert len(set(names)) == len(paths)
        assert not any('..' in Path(name).parts or Path(name).is_absolute() for name in names)


@pytest.mark.parametrize('out', ['photos', 'photos/out', 'photos/a/../out', 'link'])
def test_results_do_not_go_into_an_input_folder(photos, out):
    Path('link').symlink_to('photos')
    with pytest.raises(ValueError, match='input folder photos'):
        check_outputs(Path(out), None, ['photos'], find_images(['photos']))


def test_results_do_not_replace_inputs(photos):
    paths = find_images(['photos/*.png'])
    check_outputs(Path('photos/out'), Path('out/t.csv'), ['photos/*.png'], paths)
    with pytest.raises(ValueError, match=r'holds the input photos/img2\.png'):
        check_outputs(Path('photos'), None, ['photos/*.png'], paths)
    with pytest.raises(ValueError, match=r'holds the input photos/a/b/deep\.tiff'):
        check_outputs(Path('photos/a'), None, ['photos/a/b/deep.tiff'], find_images(['photos/a/b/deep.tiff']))
    with pytest.raises(ValueError, match='is an input; give another file to --csv'):
        check_outputs(Path('out'), Path('photos/img2.png'), ['photos/*.png'], paths)
    with pytest.raises(NotADirectoryError, match=r'notes\.md: is a file'):
        check_outputs(Path('photos/notes.md'), None, ['photos/*.png'], paths)
    assert [path.name for path in Path().iterdir()] == ['photos']
