"""What every preparation of a data set does with its output folder: claim it, and put pictures into it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mmext.common.files import replacing, write_text

MANIFEST = 'split.json'


def claim_folder(out: Path, manifest: dict[str, Any]) -> None:
    """Make ``out`` with ``{img_dir,ann_dir}/{train,val}`` and the manifest, which says how the folder was made.

    The manifest comes first: a run that was cut off is completed by the next of the same settings.

    Raises:
        FileExistsError: ``out`` holds other things, or was made with another manifest.
    """
    path = out / MANIFEST
    content = json.dumps(manifest, indent=1)
    if out.exists() and any(out.iterdir()):
        if not path.is_file():
            raise FileExistsError(f'{out}: holds other files; name a folder that does not exist yet')
        if path.read_text() != content:
            raise FileExistsError(f'{out}: was made from other frames or with another split; delete it or name another')
    for kind in ('img_dir', 'ann_dir'):
        for part in ('train', 'val'):
            (out / kind / part).mkdir(parents=True, exist_ok=True)
    write_text(path, content)


def place_file(source: Path, target: Path, copy: bool) -> None:
    """Copy a file, or link to it by a relative path; whole or not at all."""
    with replacing(target) as unfinished:
        if copy:
            shutil.copyfile(source, unfinished)
        else:
            unfinished.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))
