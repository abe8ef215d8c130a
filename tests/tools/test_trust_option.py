"""--trust-checkpoint: every tool that reads checkpoints has it, and it is for the one file."""

import hashlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmext.common import checkpoint_trust

CORPUS = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parent.with_name('common') / 'hostile_checkpoints.py')),
)
READERS = [
    *('train.py', 'test.py', 'predict.py', 'preflight.py', 'prepare/scrub_checkpoint.py'),
    *(f'analysis/{name}.py' for name in ('attention', 'compare_models', 'embed', 'replay_batch')),
    *(f'prepare/convert_{name}.py' for name in ('maskrcnn', 'mit', 'street', 'vgg', 'vit')),
]


@pytest.mark.parametrize('tool', READERS)
def test_tools_that_read_checkpoints_have_the_option(root, tool):
    text = (root / 'tools' / tool).read_text()
    assert 'add_trust_option(parser)' in text
    assert 'apply_trust(args)' in text


def test_no_tool_and_no_module_reads_checkpoints_by_itself(root):
    """`torch.load` and the like stand in few places, each of them restricted."""
    allowed = {
        'mmext/common/checkpoints.py': 'weights_only=True',
        'mmext/common/checkpoint_trust.py': 'read_trusted',
        'mmext/common/hooks/non_finite_replay.py': 'weights_only=True',
    }
    for path in [*(root / 'mmext').rglob('*.py'), *(root / 'tools').rglob('*.py')]:
        text, name = path.read_text(), str(path.relative_to(root))
        if 'torch.load(' in text:
            assert allowed.get(name, 'not allowed') in text, name
        assert 'load_state_dict_from_url' not in text, name
        assert 'allow_pickle=True' not in text, name


def test_a_converter_reads_the_file_whose_digest_is_given(tmp_path, load_tool, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint_trust, '_trusted', set())
    tool, canary = load_tool('prepare/convert_vgg.py'), CORPUS.prepared(tmp_path)
    path = CORPUS.CASES['exec'].write(tmp_path, canary)
    arguments = [str(path), str(tmp_path / 'out.pth')]
    for trusted in ([], ['--trust-checkpoint', 'a' * 64]):
        assert tool.main([*arguments, *trusted]) == 1
        assert f'{path}: refused' in capsys.readouterr().err
        assert not CORPUS.harm(canary)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert tool.main([*arguments, '--trust-checkpoint', digest]) == 1
    assert 'refused' not in capsys.readouterr().err  # it is read, and no VGG
    assert canary.exists()
