"""Where a metric writes, and what mmengine's log remembers of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.logging import MessageHub, MMLogger

# Stages of mmengine under which the values of a metric are logged.
STAGES = ('val', 'test')


def run_folder() -> Path | None:
    """The folder of the current log file; a metric does not know its Runner. None where nothing is logged to a file."""
    file = MMLogger.get_current_instance().log_file
    return Path(file).parent if file else None


def run_stage() -> str | None:
    """The loop that is running, such as 'val' or 'test'; None outside of a Runner."""
    return MessageHub.get_current_instance().get_info('loop_stage')


def forget_earlier(metrics: Mapping[str, float | None], stages: Iterable[str] = STAGES) -> None:
    """Keeps a log from repeating an earlier validation's value of a score that is now undefined, and the reverse.

    mmengine logs the last number of every name it ever saw, and the last non-number too.
    """
    hub = MessageHub.get_current_instance()
    for name, value in metrics.items():
        for stage in stages:
            if value is None:
                hub.log_scalars.pop(f'{stage}/{name}', None)
            else:
                hub.pop_info(f'{stage}/{name}')
