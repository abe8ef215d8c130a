"""Every kind of address of a checkpoint that mmengine knows, read by one function; downloads are checked.

Addresses: a local path, ``http(s)://``, the model zoos ``torchvision://``, ``open-mmlab://`` and ``mmcls://``, and the
object stores ``s3://`` and ``petrel://``.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import get_dist_info
from mmengine.fileio import get_file_backend
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    _get_mmengine_home,
    _process_mmcls_checkpoint,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from mmext.common.checkpoint_container import CheckpointError, kind_of
from mmext.common.digests import file_digest
from mmext.common.files import replacing

Reader = Callable[[Path, Any], dict[str, Any]]
NETWORK = ('http://', 'https://')
# torch hub's convention: the first digits of the file's SHA-256 end its name.
HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
# Eight digits that are a date; OpenMMLab's older names end in one.
DATE = re.compile(r'(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])')


def register_loaders(read: Reader) -> None:
    """Replaces mmengine's loader of every address that it knows by one that reads the file by ``read``.

    Loaders that other code has added for addresses of its own are left as they are.
    """

    # mmengine writes what follows load_from_ into its log.
    def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
        path = Path(filename).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such checkpoint. Fix: check the path.')
        return read(path, map_location)

    def load_from_http(
        filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = False
    ) -> dict[str, Any]:
        return read(fetched(filename, model_dir, progress), map_location)

    def load_from_zoo(filename: str, map_location: Any = None) -> dict[str, Any]:
        address = resolve(filename)
        load = load_from_http if address.startswith(NETWORK) else load_from_local
        content = load(address, map_location)
        return _process_mmcls_checkpoint(content) if filename.startswith('mmcls://') else content

    def load_from_ceph(filename: str, map_location: Any = None, backend: str = 'petrel') -> dict[str, Any]:
        content = get_file_backend(filename, backend_args={'backend': backend}).get(filename)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(filename).name)
            path.write_bytes(content)
            return read(path, map_location)

    def load_from_pavi(filename: str, map_location: Any = None) -> dict[str, Any]:
        raise CheckpointError(f'{filename}: no such address is read here. Fix: fetch the file and name its path.')

    loaders = {
        load_from_local: [''],
        load_from_http: list(NETWORK),
        load_from_zoo: [f'{name}://' for name in ('modelzoo', 'torchvision', 'open-mmlab', 'openmmlab', 'mmcls')],
        load_from_ceph: [r'(\S+\:)?s3://', r'(\S+\:)?petrel://'],
        load_from_pavi: ['pavi://'],
    }
    for loader, prefixes in loaders.items():
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def resolve(address: str) -> str:
    """The URL or local path behind a model zoo's name; other addresses as they are.

    Raises:
        CheckpointError: The zoo has no such model.
    """
    scheme, separator, name = address.partition('://')
    if not separator:
        return address
    try:
        if scheme in ('torchvision', 'modelzoo'):
            return get_torchvision_models()[name]
        if scheme in ('open-mmlab', 'openmmlab'):
            found = get_external_models()[get_deprecated_model_names().get(name, name)]
            return found if found.startswith(NETWORK) else str(Path(_get_mmengine_home(), found))
        if scheme == 'mmcls':
            return get_mmcls_models()[name]
    except KeyError as error:
        raise CheckpointError(f'{address}: no such model is known. Fix: check the name.') from error
    return address


def cached(url: str, folder: str | Path | None = None) -> Path:
    """Where a download is kept: torch hub's folder of checkpoints, or ``folder``."""
    return Path(folder or Path(torch.hub.get_dir(), 'checkpoints')) / Path(urlparse(url).path).name


def fetched(url: str, folder: str | Path | None = None, progress: bool = False) -> Path:
    """Fetches a file unless it is there, and checks it against the digest in its name, if there is one.

    In a distributed run the first process fetches and the others wait.

    Args:
        url: ``http://`` or ``https://``.
        folder: Where it is kept; by default torch hub's folder.
        progress: Whether a bar is shown.

    Returns:
        The file.

    Raises:
        CheckpointError: It cannot be fetched, is no file of weights, or has another digest.
    """
    rank, world_size = get_dist_info()
    path = cached(url, folder)
    try:
        if rank == 0:
            _fetch(url, path, progress)
    finally:
        # Also after an error: the others would wait for ever.
        if world_size > 1:
            torch.distributed.barrier()
    if rank > 0:
        _fetch(url, path, progress)
    return path


def _fetch(url: str, path: Path, progress: bool) -> None:
    digest = digest_in(path.name)
    if path.is_file():
        if digest and not file_digest(path).startswith(digest):
            raise CheckpointError(
                f'{path}: its SHA-256 does not begin with {digest}, as its name says. '
                f'Fix: delete it, then it is fetched again from {url}'
            )
        return
    try:
        with replacing(path) as unfinished:
            torch.hub.download_url_to_file(url, str(unfinished), digest or None, progress)
            try:
                kind_of(unfinished)
            except CheckpointError as error:
                raise CheckpointError(str(error).replace(str(unfinished), url)) from error
    # URL errors are OSErrors; torch raises RuntimeError for another digest.
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f'{url}: cannot be fetched ({error}). Fix: fetch it elsewhere and put it there: {path}'
        ) from error


def digest_in(name: str) -> str:
    """The digits of the SHA-256 that a file's name ends with, or ''; a date is none."""
    found = HASH_IN_NAME.search(name)
    return found[1] if found and not DATE.fullmatch(found[1]) else ''
