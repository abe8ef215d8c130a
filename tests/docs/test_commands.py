"""Every shell line that a document shows does what it should; see command_rules.py for what stands for what."""

from pathlib import Path

import pytest
from shell_blocks import find_documents

ROOT = Path(__file__).resolve().parents[2]
# Cards whose lines are all listed end at once.
QUICK = [
    'configs/classification/vgg/README.md',
    'configs/classification/vit/README.md',
    'configs/detection/faster_rcnn/README.md',
    'configs/segmentation/psanet/README.md',
    'configs/segmentation/pspnet/README.md',
]
DOCUMENTS = [
    pytest.param(document, marks=[] if document in QUICK else pytest.mark.slow) for document in find_documents(ROOT)
]


def test_documents_are_found():
    names = find_documents(ROOT)
    assert {'README.md', 'data/README.md', *QUICK} <= set(names)
    assert len(names) > 10


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_line_is_run_or_listed(workshop, document):
    report = workshop.follow(document)
    assert not report.faults, '\n\n'.join([f'{document}:', *report.faults])
    assert report.ran or report.listed, f'{document}: no line was run'
    for line in report.ran:
        print(f'run: {line}')
    for line, reason in report.listed.items():
        print(f'listed: {line}: {reason}')
