"""What a look at a training before its start finds."""

from dataclasses import dataclass, field
from typing import Any

PASS, WARNING, ERROR, NOT_RUN = 'pass', 'warning', 'error', 'not run'


@dataclass(frozen=True)
class Finding:
    """One result.

    Attributes:
        check: Short name of what was looked at, such as ``'sync-bn'``.
        status: `PASS`; `WARNING`: worth a second look; `ERROR`: the training fails, or does not do what its config
            says; `NOT_RUN`: could not be judged, and the message says why.
        message: What was found, with the place in the config or model and the value.
        fix: What to do about it; '' if nothing.
        values: Numbers behind it, plain values.
    """

    check: str
    status: str
    message: str
    fix: str = ''
    values: dict[str, Any] = field(default_factory=dict)
