"""One measurement as a process of its own: ``python -m mmext.analysis.speed.worker SETTINGS_AS_JSON FILE``.

The record is appended to FILE. Run by hand, it shows what the model and the toolboxes print.
"""

import json
import sys
from collections.abc import Sequence

from mmext.analysis.speed.measure import SpeedSettings, measure
from mmext.analysis.speed.records import append_speed_record


def settings_from(text: str) -> SpeedSettings:
    """The settings that were written as a JSON object; lists become tuples again."""
    content = json.loads(text)
    for name in ('shape_hw', 'trusted', 'cost'):
        if content.get(name) is not None:
            content[name] = tuple(content[name])
    return SpeedSettings(**content)


def main(argv: Sequence[str] | None = None) -> int:
    text, file = sys.argv[1:] if argv is None else argv
    append_speed_record(file, measure(settings_from(text)))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
