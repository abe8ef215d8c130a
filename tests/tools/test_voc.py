import io
import json
import tarfile

import pytest
from PIL import Image

OBJECT = '<object><name>{}</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>'
OBJECT += '<ymax>{}</ymax></bndbox></object>'


@pytest.fixture
def tool(load_tool):
    return load_tool('prepare/voc.py')


@pytest.fixture
def archive(tmp_path):
    """All three parts in one tar file: a dog each."""
    path = tmp_path / 'voc.tar'
    parts = [('VOC2007', 'trainval', '000001'), ('VOC2007', 'test', '000002'), ('VOC2012', 'val', '2008_000001')]
    with tarfile.open(path, 'w') as tar:
        for number, (year, name, stem) in enumerate(parts):
            image = io.BytesIO()
            Image.new('RGB', (16, 12), (number * 99, 0, 0)).save(image, 'JPEG')
            xml = f'<annotation><size><width>16</width><height>12</height></size>{OBJECT.format("dog", 9)}</annotation>'
            for below, content in (
                (f'ImageSets/Main/{name}.txt', f'{stem}\n'.encode()),
                (f'JPEGImages/{stem}.jpg', image.getvalue()),
                (f'Annotations/{stem}.xml', xml.encode()),
            ):
                info = tarfile.TarInfo(f'VOCdevkit/{year}/{below}')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_archives_become_a_checked_folder(tool, archive, tmp_path, capsys):
    out = tmp_path / 'VOCdevkit'
    assert tool.main([str(archive), '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert 'VOC2007 trainval' in printed
    assert f'{out}: no picture is in two parts' in printed
    manifest = json.loads((out / 'voc0712_split.json').read_text())
    assert {name: part['objects'] for name, part in manifest['parts'].items()} == dict(train=1, val=1, test=1)
    (out / 'voc0712_split.json').unlink()
    assert tool.main(['--check-only', '--out', str(out)]) == 0
    assert not (out / 'voc0712_split.json').exists()


def test_errors_are_one_line(tool, archive, tmp_path, capsys):
    out = tmp_path / 'VOCdevkit'
    assert tool.main(['--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {out}/VOC2007/ImageSets/Main/trainval.txt: the folder is missing')
    assert error.count('\n') == 1
    assert tool.main([str(tmp_path / 'none.tar'), '--out', str(out)]) == 1
    assert capsys.readouterr().err == f'error: {tmp_path}/none.tar: no such archive; check the path\n'
    assert tool.main([str(archive), '--check-only', '--out', str(out)]) == 1
    assert not out.exists()


def test_errors_of_files_are_counted_and_listed(tool, archive, tmp_path, capsys):
    out = tmp_path / 'VOCdevkit'
    tool.main([str(archive), '--out', str(out)])
    xml = out / 'VOC2007/Annotations/000001.xml'
    xml.write_text(
        xml.read_text().replace('</annotation>', OBJECT.format('dog', 1) + OBJECT.format('x', 9)) + '</annotation>'
    )
    capsys.readouterr()
    assert tool.main(['--out', str(out)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f'error: {xml}, object 1: empty box: (1, 1, 9, 1) has no area')
    assert f'(errors: 2, all in {out}/voc0712_split.json)' in printed.err
    assert 'unknown_class' in printed.out
    assert tool.main(['--out', str(out), '--rule', 'empty_box=drop', '--rule', 'unknown_class=drop']) == 0
    assert json.loads((out / 'voc0712_split.json').read_text())['problem_counts'] == dict(empty_box=1, unknown_class=1)


@pytest.mark.parametrize('rule', ['empty_box', 'empty_box=warn', 'x=drop', 'missing_image=warn'])
def test_impossible_rules(tool, rule, capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.parse_args(['--rule', rule])
    assert 'known: ' in capsys.readouterr().err
