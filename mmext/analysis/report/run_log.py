"""What the text of mmengine's log says about a run: the machine, versions, the seed, and how far it came."""

import re
from pathlib import Path

# The header stands in the first lines; a config of thousands of lines follows.
HEADER_BYTES = 200_000
LINE = re.compile(r'^ {4}(\S.*?): (.*)$', re.M)
SAVED = re.compile(r'Saving checkpoint at (\d+) (epoch|iteration)s')
# A config ends where the next message begins.
CONFIG = re.compile(r'Config:\n(.*?)(?=^\d{4}/\d{2}/\d{2} |\Z)', re.M | re.S)
ITERATION = re.compile(r'Iter\(train\) \[ *(\d+)/')
# Names in the log -> names here, in the order of a page.
KEPT = {
    'Python': 'Python',
    'PyTorch': 'PyTorch',
    'TorchVision': 'torchvision',
    'MMEngine': 'mmengine',
    'OpenCV': 'OpenCV',
    'CUDA available': 'CUDA available',
    'NVCC': 'NVCC',
    'GPU number': 'processes',
    'Distributed launcher': 'launcher',
    'sys.platform': 'platform',
}


def read_environment(log: str | Path) -> dict[str, str]:
    """Names of `KEPT`, every ``GPU ...`` line, and ``seed``; empty where the log has no such header."""
    with Path(log).open('rb') as file:
        text = file.read(HEADER_BYTES).decode('utf-8', errors='replace')
    text = text.partition('Config:\n')[0]
    found = {name: value.strip() for name, value in LINE.findall(text)}
    kept = {ours: found[name] for name, ours in KEPT.items() if found.get(name)}
    kept |= {name: value for name, value in found.items() if re.match(r'GPU \d', name)}
    if 'Python' in kept:
        kept['Python'] = kept['Python'].split(' ')[0]
    return kept | {name: found[name] for name in ('seed',) if found.get(name, 'None') != 'None'}


def config_text(text: str) -> str:
    """The dumped config in the text of a log; '' if there is none."""
    found = CONFIG.search(text)
    return found[1] if found else ''


def last_step(log: str | Path, unit: str) -> float | None:
    """The last iteration, or the last epoch of which a checkpoint was saved; None where the log tells of neither.

    Args:
        log: The file.
        unit: ``'iteration'`` or ``'epoch'``.
    """
    text = Path(log).read_text(encoding='utf-8', errors='replace')
    steps = [int(step) for step, of in SAVED.findall(text) if of == unit]
    if unit == 'iteration':
        steps += [int(step) for step in ITERATION.findall(text)]
    return float(max(steps)) if steps else None
