import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mmext.inspection.passport import Passport


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool('inspect_data.py')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three pictures."""
    for index, name in enumerate(('cat', 'dog')):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(10 * index + number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'data' / name / f'{number}.png')
    return tmp_path / 'data'


def test_a_clean_folder(tool: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / 'out'
    assert tool.main([str(folder), '--out', str(out)]) == 0
    assert '0 errors, 0 warnings, 0 notes; 6 files opened now' in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {'index.html', 'passport.json', 'scan_cache.jsonl'}
    assert Passport.read(out / 'passport.json').splits['all'].class_images == [3, 3]
    assert tool.main([str(folder), '--out', str(out), '--workers', '1']) == 0
    assert '; 0 files opened now' in capsys.readouterr().out


def test_errors_and_their_correction(
    tool: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    broken = folder / 'cat' / '1.png'
    broken.write_bytes(broken.read_bytes()[:500])
    fixed = tmp_path / 'fixed'
    assert tool.main([str(folder), '--out', str(tmp_path / 'out'), '--fix', str(fixed)]) == 1
    printed = capsys.readouterr().out
    assert 'error: truncated' in printed
    assert str(broken) in printed
    assert f'{fixed}: 1 left out, listed in fixes.json' in printed
    assert json.loads((fixed / 'fixes.json').read_text())[0]['file'] == 'cat/1.png'
    assert 'truncated' in (tmp_path / 'out' / 'index.html').read_text()
    assert tool.main([str(fixed), '--out', str(tmp_path / 'out2')]) == 0
    assert tool.main([str(folder), '--out', str(tmp_path / 'out'), '--fix', str(fixed)]) == 1
    assert 'not empty' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'no such folder or config'),
        (['DATA', '--task', 'detection'], 'no layout of detection'),
        (['DATA', '--cfg-options', 'a=1'], 'cfg-options'),
    ],
)
def test_clear_errors(
    tool: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    arguments = [str(folder) if argument == 'DATA' else argument for argument in arguments]
    assert tool.main([*arguments, '--out', str(tmp_path / 'out')]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
