"""From the official archives of PASCAL VOC to one ``VOCdevkit`` folder whose split was checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmext.common.archives import check_digest, extract_tar
from mmext.common.files import write_json

from .voc_split_check import check_split
from .voc_split_report import SplitReport

TOP = 'VOCdevkit'
MANIFEST = 'voc0712_split.json'
# MD5 sums as torchvision.datasets.voc publishes them.
OFFICIAL_MD5 = {
    'VOCtrainval_06-Nov-2007.tar': 'c52e279531787c972589f7e41ab4ae64',
    'VOCtest_06-Nov-2007.tar': 'b6e924de25625d8de591ea690078ad9f',
    'VOCtrainval_11-May-2012.tar': '6cd6e144f989b92b3379bac3b3de84fd',
}
SHOWN = 3


def unpack_archives(archives: Sequence[Path], out: Path) -> list[str]:
    """Unpack the folder ``VOCdevkit`` of some tar files into ``out``; what is there already stays as it is.

    Args:
        archives: Official archives are compared with their MD5 sums, all of them before the first is unpacked.
        out: Becomes the VOCdevkit folder.

    Returns:
        Notes on what was unpacked, what was kept, and which archives have no published sum.

    Raises:
        FileNotFoundError, ArchiveError: About the first archive that cannot be used.
    """
    notes = []
    for archive in archives:
        if not archive.is_file():
            raise FileNotFoundError(f'{archive}: no such archive; check the path')
        if archive.name in OFFICIAL_MD5:
            check_digest(archive, OFFICIAL_MD5[archive.name], 'md5')
        else:
            notes.append(f'{archive}: no sum is known for this name, so the content was not verified')
    for archive in archives:
        done = extract_tar(archive, out, top=TOP)
        notes.append(f'{archive}: {len(done.written)} files unpacked, {len(done.same)} were there')
        if done.kept:
            shown = ', '.join(map(str, done.kept[:SHOWN])) + (', ...' if len(done.kept) > SHOWN else '')
            notes.append(
                f'{archive}: {len(done.kept)} files of other content were there and kept: {shown}; '
                f'delete them to have them unpacked'
            )
    return notes


def prepare_voc(
    out: Path, archives: Sequence[Path] = (), rules: Mapping[str, str] | None = None, check_only: bool = False
) -> SplitReport:
    """Unpack the archives, check the whole split, and write what was found to ``voc0712_split.json``.

    Args:
        out: The VOCdevkit folder.
        archives: Tar files to unpack first; none if the folder is there.
        rules: Kind of problem -> rule, where it differs from the default.
        check_only: Write nothing.

    Returns:
        Counts, problems, errors and notes. The file is written even if there are errors: it lists them.

    Raises:
        FileNotFoundError, ArchiveError: An archive cannot be used.
        ValueError: Unknown rules; or ``check_only`` together with archives.
    """
    if check_only and archives:
        raise ValueError(f'{archives[0]}: --check-only unpacks nothing; leave out the flag or the archives')
    notes = unpack_archives(archives, out) if archives else []
    report = check_split(out, rules)
    report.notes[:0] = notes
    if not check_only and out.is_dir():
        write_json(out / MANIFEST, report.to_json())
    return report
