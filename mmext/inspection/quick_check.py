"""What can be known about a config's data in seconds, before its training starts.

Every file is there, every pair complete, every header readable, every mask as large as its image, and a sample of the
masks and XML files decoded. The result is kept in the work dir with the sizes and times of the files, so that the next
start only compares those. The full inspection, of every pixel, is ``tools/inspect_data.py``.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmext.common.files import write_json
from mmext.common.wording import counted

from .config_listing import datasets_of
from .data_hash import files_of, joint_hash, look_at_listing, only_splits
from .kinds import KINDS
from .listing import read_listing
from .passport import Finding, PassportError
from .quick_findings import by_severity, find_faults, worst_files
from .quick_state import is_current, list_files, read_state, settings_key, state_of, write_state

REPORT_NAME = 'data_check.json'
STATE_NAME = 'data_check_state.json'
WORST = 3
# Ranks that launchers tell their processes, where the process group does not exist yet.
RANK_VARIABLES = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


class DataCheckError(ValueError):
    """The data would stop the training or spoil it; the message names the worst files and the fix."""


@dataclass
class QuickReport:
    """What the quick check found.

    Attributes:
        data_hash: Of all splits that were checked; '' where there was nothing to hash. It starts with ``'full:'`` if
            every byte went into it, with ``'edges:'`` if the first and last 4 KiB of the files over 64 KiB did (splits
            of more than 1 GiB). Names, lengths and contents count; places, order and times do not.
        split_hashes: The same for each split.
        samples: Number of samples by split.
        findings: As those of a passport, errors first.
        seconds: How long it took.
        cached: Nothing had changed since the report was made.
    """

    data_hash: str = ''
    split_hashes: dict[str, str] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    cached: bool = False

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop a training."""
        return [finding for finding in self.findings if finding.level == 'error']

    @property
    def warnings(self) -> list[Finding]:
        """Findings that are logged."""
        return [finding for finding in self.findings if finding.level == 'warning']

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> 'QuickReport':
        """What ``dataclasses.asdict`` made of one."""
        findings = [Finding(**finding) for finding in content['findings']]
        return cls(**{**content, 'findings': findings})


def check_data(cfg: Config) -> QuickReport | None:
    """Check the data of a training whose config is settled; log what is odd, and stop it if they cannot be used.

    In a distributed run the main process checks. The others wait for its verdict where the process group exists
    already; otherwise they go on, and the launcher stops them with the main process.

    Returns:
        The report, for `DataHashHook`; None in other processes than the main one.

    Raises:
        DataCheckError: The worst three files, the fix, and how to train anyway.
    """
    verdict, report = '', None
    try:
        if is_main_process(cfg):
            verdict = 'the check of the data did not end'
            report = _checked(cfg)
            verdict = error_message(report, str(cfg.filename or 'CONFIG'))
    finally:
        verdict = _shared(verdict)
    if verdict:
        raise DataCheckError(verdict)
    return report


def quick_check(cfg: Config, work_dir: str | Path, splits: Sequence[str] = ('train', 'val')) -> QuickReport:
    """Check the data of some splits; nothing is raised about them.

    ``data_check.json`` in the work dir holds the report, ``data_check_state.json`` the state of the files. A report
    without errors is used again as long as the data sets' settings and the files' sizes and times stay as they are.

    Cost: on two cores about 0.1 ms a file, and reading every byte of splits up to 1 GiB; the second time 5 us a file.

    Args:
        cfg: A leaf config of any of the toolboxes.
        work_dir: Folder for both files; made if missing.
        splits: Which data loaders are checked.
    """
    start = time.perf_counter()
    work_dir, key = Path(work_dir), settings_key(cfg, splits)
    known = read_state(work_dir / STATE_NAME)
    if known.get('key') == key and is_current(known['state']) and (report := _stored_report(known)):
        report.cached, report.seconds = True, round(time.perf_counter() - start, 3)
        return report
    lists = list_files(cfg, splits)
    try:
        listing = read_listing(only_splits(cfg, splits))
    except PassportError as error:
        listing = None
        report = QuickReport(findings=[Finding('note', 'not-checked', f'the data were not checked: {error}', '')])
    if listing is not None:
        state = state_of(files_of(listing), lists)
        facts, hashes = look_at_listing(listing)
        roots = {split: _root_of(cfg, split) for split in splits}
        report = QuickReport(
            data_hash=joint_hash(hashes),
            split_hashes=hashes,
            samples={split: len(samples) for split, samples in listing.splits.items()},
            findings=find_faults(listing, facts, roots),
        )
    report.seconds = round(time.perf_counter() - start, 3)
    if listing is not None and not report.errors:
        write_state(work_dir / STATE_NAME, key, state, asdict(report))
    write_json(work_dir / REPORT_NAME, asdict(report))
    return report


def error_message(report: QuickReport, config: str = 'CONFIG') -> str:
    """What to tell about the errors of a report: the worst files and the fix; '' if there are none."""
    if not report.errors:
        return ''
    errors = by_severity(report.errors)
    kinds = '; '.join(f'{_title(finding)}: {finding.count}' for finding in errors)
    lines = worst_files(errors, WORST)
    worst = '\n'.join(f'  {line}' for line in lines)
    fixes = '; '.join(dict.fromkeys(finding.fix for finding in errors[:WORST]))
    return (
        f'the data cannot be trained on as they are ({kinds}). The worst:\n{worst}\n'
        f'Fix: {fixes}.\n`python tools/inspect_data.py {config} --out DIR` looks at everything and shows it; '
        f'--skip-data-check trains without looking.'
    )


class DataHashHook(Hook):
    """Stores the hash of the data in every checkpoint: ``meta['data_hash']``, split -> hash, and ``'all'``.

    Args:
        report: Of `check_data`.
    """

    def __init__(self, report: QuickReport) -> None:
        self.hashes = {**report.split_hashes, 'all': report.data_hash} if report.data_hash else {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the entry."""
        if self.hashes:
            checkpoint.setdefault('meta', {})['data_hash'] = dict(self.hashes)


def _checked(cfg: Config) -> QuickReport:
    """Check, and log the outcome."""
    before = _stored_report(read_state(Path(cfg.work_dir) / STATE_NAME))
    report = quick_check(cfg, cfg.work_dir)
    counts = ', '.join(f'{count} {split}' for split, count in report.samples.items())
    how = 'unchanged since the last check' if report.cached else counted(len(report.errors), 'error')
    print_log(f'data: {counts or "not checked"} ({how}, {report.seconds:.1f} s), hash {report.data_hash}', 'current')
    for finding in report.findings:
        if finding.level == 'warning':
            print_log(f'data: {finding.message}. Fix: {finding.fix}', 'current', logging.WARNING)
    known = before.split_hashes if before else {}
    changed = [split for split, value in report.split_hashes.items() if known.get(split, value) != value]
    if cfg.get('resume') and changed:
        text = f'data: {", ".join(changed)} changed since this run was started; its scores are of both states'
        print_log(text, 'current', logging.WARNING)
    return report


def _stored_report(known: Mapping[str, Any]) -> QuickReport | None:
    try:
        return QuickReport.from_json(known['report'])
    except (KeyError, TypeError):
        return None


def _root_of(cfg: Config, split: str) -> str:
    return next(
        (str(one['data_root']) for one in datasets_of(cfg.get(f'{split}_dataloader')) if one.get('data_root')), ''
    )


def _title(finding: Finding) -> str:
    return KINDS[finding.kind].title if finding.kind in KINDS else finding.kind


def is_main_process(cfg: Config) -> bool:
    """Whether this process checks and writes; also before the process group exists."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        return torch_dist.get_rank() == 0
    # mmengine knows no rank before it has made the process group, and would take every process for the main one.
    return int(os.environ.get(RANK_VARIABLES.get(cfg.get('launcher'), ''), 0)) == 0


def _shared(verdict: str) -> str:
    """The main process' verdict, in all processes of the group."""
    if not (torch_dist.is_available() and torch_dist.is_initialized()):
        return verdict
    box = [verdict]
    torch_dist.broadcast_object_list(box, src=0)
    return box[0]
