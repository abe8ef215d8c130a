"""CIFAR-100 (Krizhevsky 2009) through mmpretrain's loader, with messages that say what to do without a network."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmpretrain.datasets import CIFAR100
from mmpretrain.registry import DATASETS

from mmext.common.digests import file_digest

CONNECT_SECONDS = 20.0


class CIFAR100Error(RuntimeError):
    """The files are not there or not those of the set; the message names folder, files, sums and the fix."""


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Connections opened inside give up after so many seconds of silence; Python's own default is to wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def find_problems(folder: str | Path, sums: dict[str, str]) -> list[str]:
    """What is wrong with the files of a folder, one line each.

    Args:
        folder: Where the files lie.
        sums: File name -> MD5 sum that it must have.
    """
    problems = []
    for name, expected in sums.items():
        path = Path(folder) / name
        if not path.is_file():
            problems.append(f'{path} is missing')
        elif (found := file_digest(path, 'md5')) != expected:
            problems.append(f'{path} has MD5 {found}, must have {expected}')
    return problems


@DATASETS.register_module()
class CheckedCIFAR100(CIFAR100):
    """CIFAR-100: 50 000 training and 10 000 test pictures of 32 x 32 pixels in 100 classes.

    Reads ``<data_root>/cifar-100-python/{train,test}``. The MD5 sums of both are checked before either is unpickled.
    Where they are missing, ``<data_root>/cifar-100-python.tar.gz`` is checked and unpacked; where that is missing too,
    it is downloaded, unless ``download=False``.

    A data item has ``img`` (32, 32, 3) uint8, **RGB** (so ``to_rgb=False`` in the data preprocessor), and ``gt_label``,
    0..99 in alphabetical order of the fine class names.

    Differs from upstream's `CIFAR100` in nothing but this: an archive that lies there is unpacked with
    ``download=False`` too, a dead connection is given up after 20 s, and one error names what is wrong with each file
    and how to place the archive by hand, where upstream lets ``URLError`` or an assertion through.

    Args:
        data_root: Folder that holds ``cifar-100-python`` or the archive.
        split: ``'train'`` or ``'test'``.
        **kwargs: As upstream's: ``pipeline``, ``download``, ``metainfo``, ``test_mode``, ...

    Raises:
        CIFAR100Error: Files missing or with other sums, and no archive to be had.
    """

    def load_data_list(self) -> list[dict]:
        """One entry per picture of the split; see the class."""
        root = Path(self.data_prefix['root'])
        # Unpacking a good archive needs no network; upstream asks for the same switch.
        self.download = bool(self.url) and (self.download or self._has_archive(root))
        try:
            with _socket_timeout(CONNECT_SECONDS):
                return super().load_data_list()
        except (OSError, RuntimeError, AssertionError) as error:
            problems = find_problems(root / self.base_folder, self.sums())
            if not problems:
                raise
            reason = f' The download failed: {error}.' if self.download else ''
            raise CIFAR100Error(f'{"; ".join(problems)}.{reason} {self.advice(root)}') from error

    @classmethod
    def sums(cls) -> dict[str, str]:
        """MD5 sum of each file that may be unpickled."""
        return dict([*cls.train_list, *cls.test_list])

    def _has_archive(self, root: Path) -> bool:
        return not find_problems(root, {self.filename: self.tgz_md5})

    def advice(self, root: Path) -> str:
        """What to do about missing or changed files below ``root``."""
        archive = root / self.filename
        there = ' (the file there has another sum: replace it)' if archive.exists() else ''
        return (
            f'Fix: fetch {self.url} on a machine with a network, put it into the folder {root} as {self.filename} '
            f'(MD5 {self.tgz_md5}){there} and start again; it is checked and unpacked.'
        )
