import subprocess
import sys

import pytest
import torch

from mmext.analysis.speed.memory import PeakMemory

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='the CPU is measured through /proc')
MEGA = 2**20
# A process of its own, as measurements have: what pytest allocated and gave back would hide what comes.
SCRIPT = """
import torch
from mmext.analysis.speed.memory import PeakMemory
memory = PeakMemory(torch.device('cpu'))
weights = torch.ones(25 * 2**20)  # 100 MB that stay
big = torch.ones(100 * 2**20)  # 400 MB before the restart
del big
memory.restart()
before = memory.read()
for _ in range(3):
    work = torch.ones(50 * 2**20)  # 200 MB that come and go
    del work
print(before, memory.read(), memory.source)
"""


def test_weights_and_what_comes_and_goes_after_the_restart_count() -> None:
    done = subprocess.run([sys.executable, '-c', SCRIPT], capture_output=True, text=True, check=True)
    before, after, source = done.stdout.split(maxsplit=2)
    if 'its start included' in source:
        pytest.skip('this machine does not let a process set its peak back')
    assert int(before) / MEGA == pytest.approx(100, abs=30)
    assert int(after) / MEGA == pytest.approx(300, abs=30)


def test_other_devices_are_not_measured() -> None:
    memory = PeakMemory(torch.device('meta'))
    memory.restart()
    assert memory.read() is None
    assert 'not measured on meta' in memory.source
