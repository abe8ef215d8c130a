"""SIGTERM and SIGINT as requests that a program looks at when it suits it, and workers that leave them to it."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from torch.utils.data import DataLoader

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A terminal, a launcher and `timeout` may each deliver what was one request.
ONE_REQUEST_SECONDS = 1.0
PARENT_CHECK_SECONDS = 1.0

_active: 'StopRequest | None' = None


class StopRequest:
    """Notes the first of the signals; the second stops the process at once, whatever it is doing.

    The signals are read by a thread, because Python's own handlers wait until the main thread returns from native code,
    which it may never do where another process of a distributed training is gone.

    Args:
        told: Called in that thread with the signal's name at the first one.

    Attributes:
        number: The signal; 0 as long as there was none.
    """

    def __init__(self, told: Callable[[str], None] = lambda name: None) -> None:
        self.number = 0
        self._told = told
        self._previous: dict[int, object] = {}

    def install(self) -> None:
        """Take over the signals; does nothing outside the main thread, and leaves alone what is ignored."""
        global _active
        if threading.current_thread() is not threading.main_thread():
            return
        release_signals()
        self._previous = {
            number: signal.getsignal(number) or signal.SIG_DFL
            for number in STOP_SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        if not self._previous:
            return
        reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        threading.Thread(target=self._listen, args=(reading,), name='stop signals', daemon=True).start()
        self._previous_wakeup = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for number in self._previous:
            signal.signal(number, _leave_it_to_the_thread)
        _active = self

    def uninstall(self) -> None:
        """Restore the handlers as they were."""
        global _active
        if _active is not self:
            return
        self._restore()
        self._writing.send(b'\0')  # ends the thread
        self._writing.close()
        _active = None

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)

    def _listen(self, reading: socket.socket) -> None:
        first = 0.0
        with reading:
            while (number := reading.recv(1)[0]) != 0:
                if number not in self._previous:
                    continue
                if not self.number:
                    first = time.monotonic()
                    self._told(signal.Signals(number).name)  # before the main thread acts on it
                    self.number = number
                elif time.monotonic() - first > ONE_REQUEST_SECONDS:
                    _end_at_once(128 + number)


def _end_at_once(status: int) -> None:
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(status)


def release_signals() -> None:
    """Restore the handlers of a run that an error has ended."""
    if _active:
        _active.uninstall()


def _leave_it_to_the_thread(number: int, frame: object) -> None:
    """The system has told the thread already."""


def _in_forked_child() -> None:
    """The signals of a child are its own business; a terminal's SIGINT, which all processes get, is the parent's."""
    global _active
    if _active is None:
        return
    _active._restore()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _active = None


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_in_forked_child)


def shield_workers(loader: DataLoader) -> None:
    """Let the workers of a dataloader outlast signals to the whole process group, and not their main process.

    Terminals, torchrun and Slurm send a signal to all processes. A worker that dies of it would take the main process
    along, which still needs its batches to finish the step. Takes effect when workers are started next.
    """
    if loader.num_workers and not _is_shielded(loader.worker_init_fn):
        loader.worker_init_fn = partial(_begin_shielded, inner=loader.worker_init_fn)


def _is_shielded(function: object) -> bool:
    return isinstance(function, partial) and function.func is _begin_shielded


def _begin_shielded(worker: int, inner: Callable[[int], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigtimedwait'):
        # Blocked, because torch's own handler lets a worker die of a SIGTERM from elsewhere.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_obey_parent, args=(os.getppid(),), name='parent watch', daemon=True).start()
    if inner:
        inner(worker)


def _obey_parent(parent: int) -> None:
    """End this worker when its main process says so or is gone."""
    while True:
        received = signal.sigtimedwait([signal.SIGTERM], PARENT_CHECK_SECONDS)
        if os.getppid() != parent or (received and received.si_pid == parent):
            os._exit(0)
