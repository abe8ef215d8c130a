"""Sums over the bytes of files."""

import hashlib
from pathlib import Path

# Bytes that are read at a time.
CHUNK = 1 << 20


def file_digest(path: str | Path, algorithm: str = 'sha256') -> str:
    """Hexadecimal digest of a file's bytes, read in pieces. (`hashlib.file_digest` needs Python 3.11.)

    Args:
        path: The file.
        algorithm: A name that `hashlib.new` knows.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Path(path).open('rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
