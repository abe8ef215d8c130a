"""Which run of a tracker a work dir belongs to, and what that run has: ``trackers.json`` in the work dir."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmext.common.files import write_json

FILE = 'trackers.json'


@dataclass
class Record:
    """What is known of the run of one tracker.

    Args:
        id: Of the run, as the tracker calls it; None before there is one.
        project: What the run was gathered under.
        name: Of the run.
        points: How much was recorded, numbers and pictures.
        sent: Name of a curve or of a picture -> last iteration it was recorded for.
    """

    id: str | None = None
    project: str = ''
    name: str = ''
    points: int = 0
    sent: dict[str, int] = field(default_factory=dict)

    def lacks(self, name: str, iteration: int) -> bool:
        """Whether something of that iteration is later than all that the run has under the name."""
        return self.sent.get(name, -1) < iteration


def read_record(work_dir: str | Path, tracker: str) -> Record | None:
    """What is noted of a tracker; None if nothing is.

    Raises:
        ValueError: the file is damaged.
    """
    path = Path(work_dir) / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8')).get(tracker)
        return Record(**content) if content else None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: damaged ({error}); delete it to begin new runs') from error


def write_record(work_dir: str | Path, tracker: str, record: Record) -> None:
    """Note a record beside those of other trackers."""
    path = Path(work_dir) / FILE
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        content = {}
    content = content if isinstance(content, dict) else {}
    write_json(path, content | {tracker: asdict(record)})
