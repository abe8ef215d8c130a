"""The only way around the safe reading of checkpoints: by the SHA-256 of a file that somebody vouches for."""

import argparse
import hashlib
import io
import logging
import pickle
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.logging import print_log

from mmext.common.checkpoint_container import CheckpointError, damaged
from mmext.common.digests import file_digest

OPTION = '--trust-checkpoint'
# What every checkpoint of torch names, and what need not be mentioned.
_TENSORS = re.compile(
    r'collections\.OrderedDict|_codecs\.encode|torch\._utils\._rebuild_(tensor(_v2)?|parameter)|torch\.\w+Storage'
)
_DIGEST = re.compile(r'[0-9a-f]{64}')
_trusted: set[str] = set()


def trust(sha256: str) -> None:
    """Lets the file of this digest be unpickled in full from now on, in this process.

    The file's code runs when it is read. What it calls is logged, name by name, before each is called.

    Args:
        sha256: Digest of the whole file, 64 hexadecimal digits, as ``sha256sum FILE`` prints it.

    Raises:
        CheckpointError: It is no such digest.
    """
    _trusted.add(_digest(sha256))


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--trust-checkpoint SHA256``, which may be given several times."""
    parser.add_argument(
        OPTION,
        action='append',
        default=[],
        type=_argument,
        metavar='SHA256',
        help='let the file of this digest run code when it is read; nothing else gets around the safe reading',
    )


def apply_trust(args: argparse.Namespace) -> None:
    """Trusts the files whose digests were given."""
    for digest in args.trust_checkpoint:
        trust(digest)


def _digest(sha256: str) -> str:
    digest = sha256.strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise CheckpointError(f'{sha256}: no SHA-256. Fix: give the 64 hexadecimal digits that sha256sum FILE prints.')
    return digest


def _argument(text: str) -> str:
    try:
        return _digest(text)
    except CheckpointError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def current_name(module: str, name: str) -> str:
    """The full name of what a pickle names as Python 2 did: ``__builtin__``, ``exec`` is ``builtins.exec``."""
    return '.'.join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))


def refusal(path: Path, reason: str) -> CheckpointError:
    """The error about a file that cannot be read without running code: names its digest, and the ways out."""
    others = ' (what is trusted so far is another file)' if _trusted else ''
    return CheckpointError(
        f'{path}: refused, {reason}. Reading more than plain data can run code. '
        'Fix: use the safetensors version of the weights; or turn the file into one where it was made '
        f'(tools/prepare/scrub_checkpoint.py); or, if you trust who made it, {OPTION} {file_digest(path)}{others}'
    )


def read_trusted(path: Path, map_location: Any) -> tuple[bool, Any]:
    """Unpickles a file in full if, and only if, its digest is trusted.

    The bytes that are unpickled are those that the digest was computed of.

    Args:
        path: The file.
        map_location: As of `torch.load`.

    Returns:
        Whether it is trusted, and then what it holds.

    Raises:
        CheckpointError: It is trusted and cannot be unpickled.
    """
    if not _trusted:
        return False, None
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest not in _trusted:
        return False, None
    print_log(f'{path}: unpickled in full, its SHA-256 {digest} is trusted', 'current', logging.WARNING)
    reader = SimpleNamespace(__name__='trusted', Unpickler=_naming_unpickler(path), load=None)
    reader.load = lambda file, **options: reader.Unpickler(file, **options).load()
    try:
        return True, torch.load(io.BytesIO(data), map_location, reader, weights_only=False)
    # Unpickling in full runs what the file says, which may raise anything.
    except Exception as error:
        raise damaged(path, error) from error


def _naming_unpickler(path: Path) -> type[pickle.Unpickler]:
    named = set()

    class NamingUnpickler(pickle.Unpickler):
        """Says which function or class it lets through before it hands it out."""

        def find_class(self, module: str, name: str) -> Any:
            full = current_name(module, name)
            if full not in named and not _TENSORS.fullmatch(full):
                named.add(full)
                print_log(f'{path}: trusted to use {full}', 'current', logging.WARNING)
            return super().find_class(module, name)

    return NamingUnpickler
