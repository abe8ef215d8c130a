"""The most memory that a stretch of work needs: a GPU's own count, or the resident size of a process of its own."""

import os
from pathlib import Path

import torch

_STATUS, _CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


class PeakMemory:
    """Measures from :meth:`restart` to :meth:`read`, beyond what was there when it was made.

    Make it before the model is built, so that weights count. On a GPU it is what torch's allocator gave out
    (``max_memory_allocated``); on the CPU the peak of the resident size (VmHWM of /proc/self/status, set back through
    /proc/self/clear_refs) minus the size before, which includes libraries that the first pass loads and what the
    allocator keeps: a figure for a whole fresh process, larger than the sum of the tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == 'cuda':
            self.source = 'torch.cuda.max_memory_allocated'
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        elif device.type == 'cpu' and _STATUS.is_file():
            self.source = 'peak resident size of the process above that before the model was built'
            self._before = _resident('VmRSS')
        else:
            self.source = f'not measured on {device.type} here'

    def restart(self) -> None:
        """Forget the peaks so far."""
        if self._device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._device.type == 'cpu' and _STATUS.is_file():
            try:
                _CLEAR.write_text('5')
            # Some containers forbid it.
            except OSError:
                self.source = 'peak resident size of the process, its start included, above that before the model'

    def read(self) -> int | None:
        """Bytes; None where nothing measures them."""
        if self._device.type == 'cuda':
            return torch.cuda.max_memory_allocated(self._device) - self._before
        if self._device.type == 'cpu' and _STATUS.is_file():
            return max(_resident('VmHWM') - self._before, 0)
        return None


def _resident(name: str) -> int:
    """A size of this process in bytes; the file has it in kB."""
    for line in _STATUS.read_text().splitlines():
        key, _, value = line.partition(':')
        if key == name:
            return 1024 * int(value.split()[0])
    raise OSError(f'{_STATUS} has no {name} (process {os.getpid()})')
