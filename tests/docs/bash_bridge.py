"""Runs a script in bash, and the programs it calls in this process: no interpreter has to start for each line.

Everything that bash does - loops, variables, patterns, continued lines, redirections - is bash's own. In front of the
PATH stand small stand-ins for programs; each hands its arguments over and waits for the exit status and the output.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

END = '\x01'  # no argument is this
# Programs that bash may really run: they only move files about.
REAL = ('basename', 'cat', 'cp', 'dirname', 'ln', 'ls', 'mkdir', 'mv', 'rm', 'sed', 'touch')
STAND_INS = ('git', 'pip', 'pytest', 'python', 'srun', 'tensorboard', 'torchrun', 'uv')
STAND_IN = f"""#!/bin/bash
printf '%s\\0' "${{0##*/}}" "$PWD" "${{PYTHONPATH:-}}" "$@" $'{END}' >&"$DOCS_REQUEST"
read -r status <&"$DOCS_REPLY"
cat "$DOCS_OUTPUT"
exit "$status"
"""
PRELUDE = f"""
set -E
trap 'printf "%s\\0" failed "$PWD" "" "$BASH_COMMAND" $"{END}" >&"$DOCS_REQUEST"; read -r _ <&"$DOCS_REPLY"' ERR
command_not_found_handle() {{
    printf '%s\\0' unknown "$PWD" "" "$@" $'{END}' >&"$DOCS_REQUEST"; read -r _ <&"$DOCS_REPLY"; return 0
}}
"""


class Call(NamedTuple):
    """A program that the script calls: name, working folder, PYTHONPATH and arguments.

    The name is ``failed`` where something that bash did itself failed, ``unknown`` for a program that is not there.
    """

    program: str
    folder: Path
    python_path: str
    arguments: list[str]


class Answer(NamedTuple):
    status: int
    output: str = ''


@dataclass
class Bridge:
    """Stand-ins in a folder of their own; ``answer`` is called for each call, in this process and thread."""

    folder: Path
    answer: Callable[[Call], Answer]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in STAND_INS:
            (self.folder / name).write_text(STAND_IN)
            (self.folder / name).chmod(0o755)
        for name in REAL:
            found = next(path / name for path in (Path('/bin'), Path('/usr/bin')) if (path / name).exists())
            (self.folder / name).symlink_to(found)
        (self.folder / 'bash').symlink_to('/bin/bash')

    def run(self, script: str, working_folder: Path) -> str:
        """Run the script to its end, whatever fails on the way; what bash and its programs complained about."""
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        output = self.folder / 'output.txt'
        inherited = {name: os.environ[name] for name in ('HOME', 'LANG') if name in os.environ}
        environment = dict(DOCS_REQUEST=str(request_write), DOCS_REPLY=str(reply_read), DOCS_OUTPUT=str(output))
        complaints = (self.folder / 'complaints.txt').open('w+')
        shell = subprocess.Popen(
            ['/bin/bash', '-c', PRELUDE + script],
            cwd=working_folder,
            env=inherited | environment | dict(PATH=str(self.folder), PYTHON='python'),
            pass_fds=(request_write, reply_read),
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )
        os.close(request_write)
        os.close(reply_read)
        try:
            with os.fdopen(request_read, 'rb') as requests:
                for call in self._calls(requests):
                    status, text = self.answer(call)
                    output.write_text(text)
                    os.write(reply_write, f'{status}\n'.encode())
            shell.wait()
        finally:
            os.close(reply_write)
            shell.kill()
            complaints.close()
        return (self.folder / 'complaints.txt').read_text()

    def _calls(self, requests):
        words: list[str] = []
        text = b''
        while chunk := requests.read1():
            text += chunk
            while b'\0' in text:
                word, text = text.split(b'\0', 1)
                if word.decode() == END:
                    program, folder, python_path, *arguments = words
                    yield Call(program, Path(folder), python_path, arguments)
                    words = []
                else:
                    words.append(word.decode())
