"""The embedded pictures in CIFAR-100's format, read by the loader of the real set."""

from pathlib import Path
from typing import ClassVar

from mmpretrain.registry import DATASETS

from mmext.common.samples.cifar100 import SUMS

from .checked_cifar100 import CheckedCIFAR100


@DATASETS.register_module()
class SampleCIFAR100(CheckedCIFAR100):
    """What ``tools/prepare/make_samples.py --only cifar100`` renders: 500 training and 200 test pictures, 100 classes.

    Everything is as in `CheckedCIFAR100`, the check included; only the sums are those of the rendered files, and there
    is nothing to download. Another seed gives other files: subclass this with their sums.
    """

    url = ''
    train_list: ClassVar[list] = [['train', SUMS['train']]]
    test_list: ClassVar[list] = [['test', SUMS['test']]]
    meta: ClassVar[dict] = {'filename': 'meta', 'key': 'fine_label_names', 'md5': SUMS['meta']}

    def advice(self, root: Path) -> str:
        """What to do about missing or changed files below ``root``."""
        return (
            f'Fix: restore them, or render them with python tools/prepare/make_samples.py --only {root.name} '
            f'--out {root.parent}'
        )
