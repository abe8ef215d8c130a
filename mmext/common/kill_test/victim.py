"""A training in processes of its own, forked from this one, which has imported everything already. Linux only."""

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Whoever has not ended by then does not.
PATIENCE_S = 60.0


class Victim:
    """A training that runs in the processes of one group; leaving the ``with`` block kills what is left of it.

    Args:
        work: Trains; called with mmengine's launcher and, in the first process, the file descriptor of a pipe that is
            to be told the moments. This process must not have trained: torch's engine does not survive a fork.
        processes: That train together.
        log: File that their output is appended to.
    """

    def __init__(self, work: Callable[[str, int | None], None], processes: int, log: Path) -> None:
        self._moments, write = os.pipe()
        launcher = 'pytorch' if processes > 1 else 'none'
        environment = dict(WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(_free_port()))
        sys.stdout.flush()
        sys.stderr.flush()
        self.processes: list[int] = []
        self._statuses: dict[int, int] = {}
        for rank in range(processes):
            group = self.processes[0] if self.processes else 0
            process = os.fork()
            if process == 0:
                os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
                _be_child(group, log, lambda rank=rank: work(launcher, write if rank == 0 else None))
            _join_group(process, group or process)
            self.processes.append(process)
        os.close(write)

    def __enter__(self) -> 'Victim':
        return self

    def __exit__(self, *error) -> None:
        os.close(self._moments)
        self._kill(self.group, signal.SIGKILL, whole_group=True)
        for process in self.processes:
            self._reap(process, 0)

    @property
    def group(self) -> int:
        """Id of the process group, which is that of its first process."""
        return self.processes[0]

    def wait_for(self, kind: int, number: int) -> bool:
        """Wait for the n-th moment of a kind, from 1; False if the training ends before."""
        while number:
            seen = os.read(self._moments, 1)
            if not seen:
                return False
            number -= seen[0] == kind
        return True

    def moments(self) -> list[tuple[int, float]]:
        """Kind and time in seconds of every moment until the end, which is the last, of kind 0."""
        seen = []
        while part := os.read(self._moments, 1):
            seen.append((part[0], time.monotonic()))
        return [*seen, (0, time.monotonic())]

    def kill(self, whole_group: bool) -> float:
        """SIGKILL the group or the first process alone; seconds until nothing of the group runs any more.

        Raises:
            RuntimeError: processes outlive the first one.
        """
        begin = time.monotonic()
        self._kill(self.group, signal.SIGKILL, whole_group)
        while left := self._running():
            if time.monotonic() - begin > PATIENCE_S:
                raise RuntimeError(f'processes {left} run {PATIENCE_S:.0f} s after process {self.group} was killed')
            time.sleep(0.01 if whole_group else 0.1)
        return time.monotonic() - begin

    def wait(self) -> list[int]:
        """Exit statuses by rank, when all have ended; negative ones are signals."""
        for process in self.processes:
            self._reap(process, 0)
        return [self._statuses[process] for process in self.processes]

    def _running(self) -> list[int]:
        for process in self.processes:
            self._reap(process, os.WNOHANG)
        listed = subprocess.run(['ps', '-eo', 'pid=,pgid=,stat='], check=True, capture_output=True, text=True).stdout
        lines = [line.split() for line in listed.splitlines()]
        return [int(line[0]) for line in lines if int(line[1]) == self.group and not line[2].startswith('Z')]

    def _reap(self, process: int, flags: int) -> None:
        if process not in self._statuses:
            found, status = os.waitpid(process, flags)
            if found:
                self._statuses[process] = os.waitstatus_to_exitcode(status)

    def _kill(self, group: int, number: int, whole_group: bool) -> None:
        with suppress(ProcessLookupError):  # it may have ended
            (os.killpg if whole_group else os.kill)(group, number)


def _be_child(group: int, log: Path, work: Callable[[], None]) -> None:
    """Work, and end without a return into the parent's program."""
    status = 1
    try:
        _join_group(0, group)
        # Whatever the parent has put into the place of its standard output.
        sys.stdout = sys.stderr = log.open('a', buffering=1)
        for stream in (1, 2):
            os.dup2(sys.stdout.fileno(), stream)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _join_group(process: int, group: int) -> None:
    """Parent and child both do so, because neither knows which of them is first."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(process, group)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
