"""Runs what a document tells the reader to type, in a copy of the project's folder that is made of links."""

import contextlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from bash_bridge import Answer, Bridge, Call
from command_rules import BESIDE_THE_PROJECT, LISTED, PLACEHOLDERS, SHORTER, STATUS
from fixture_files import MAKERS
from shell_blocks import read_blocks
from shortening import add_cfg_options, short_options

LINKS = ('README.md', 'configs', 'docs', 'mmext', 'pyproject.toml', 'tests', 'tools', 'data/samples', 'data/README.md')
# A word in capitals that is no option, no variable and no part of a name.
PLACEHOLDER = re.compile(r'<[a-z][^<>\n]*>|(?<![\w$/{.?-])[A-Z][A-Z0-9_]*(?![\w=/-]|\.\w)')
COMMENT = re.compile(r'(^|\s)#.*$', re.MULTILINE)


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """As `contextlib.chdir` of Python 3.11."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@dataclass
class Report:
    """What came of the lines of one document, each as a shell would be given it."""

    ran: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    listed: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def fill_in(text: str) -> tuple[str, list[str]]:
    """Shell text with its placeholders filled in and without comments; and the placeholders that nobody knows."""
    unknown = []

    def fill_line(line: str) -> str:
        seen: dict[str, int] = {}

        def replace(found: re.Match) -> str:
            values = PLACEHOLDERS.get(found[0])
            if values is None:
                unknown.append(found[0])
                return found[0]
            seen[found[0]] = seen.get(found[0], -1) + 1
            return values[seen[found[0]] % len(values)]

        return PLACEHOLDER.sub(replace, line).replace('...', '')

    return '\n'.join(fill_line(line) for line in COMMENT.sub('', text).split('\n')), unknown


@dataclass
class Workshop:
    """The copy. It is kept for all documents, so what one has trained the next finds."""

    root: Path
    project: Path
    fresh_state: Callable[[], None]
    tools: dict[Path, ModuleType] = field(default_factory=dict)
    trained: dict[tuple, int] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    document: str = ''

    def __post_init__(self) -> None:
        for name in LINKS:
            target = self.project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(self.root / name)
        (self.project / 'checkpoints').mkdir()
        (self.project / '.venv' / 'bin').mkdir(parents=True)
        (self.project / '.venv' / 'bin' / 'activate').touch()
        self.bridge = Bridge(self.project.parent / 'bin', self.answer)

    def follow(self, document: str) -> Report:
        """Do what a document says from top to bottom, once: save its files, run its shell lines."""
        if document in self.reports:
            return self.reports[document]
        self.report, self.document = self.reports.setdefault(document, Report()), document
        files = self.project.parent / 'files' / document.replace('/', '_')
        files.mkdir(parents=True)
        script = []
        for block in read_blocks(self.root / document):
            if block.file_name:
                (files / block.file_name).write_text(block.text)
                script.append(f'cp {shlex.quote(str(files / block.file_name))} .')
            elif block.language == 'shell':
                text, unknown = fill_in(block.text)
                self.report.faults += [
                    f'line {block.line}: {word} stands for nothing; add it to PLACEHOLDERS' for word in unknown
                ]
                self.make(text)
                script.append(text)
        beside = document.startswith(BESIDE_THE_PROJECT)
        complaints = self.bridge.run('\n'.join(script), self.project.parent if beside else self.project)
        self.report.faults += [line for line in complaints.splitlines() if 'syntax error' in line]
        return self.report

    def make(self, text: str) -> None:
        """Make the files that shell text names and that are not there, unless the document made them itself."""
        for path, maker in MAKERS.items():
            if re.search(rf'(?<![\w/.]){re.escape(path)}(?![\w-])', text) and not (self.project / path).exists():
                with working_in(self.project):
                    maker(self.project, self.run_tool)

    def run_tool(self, tool: str, *arguments: str) -> None:
        """For makers: run a tool, shortened, and raise if it fails."""
        status, output = self.run_in_process(self.project / tool, list(arguments))
        if status:
            raise RuntimeError(f'{tool} {" ".join(arguments)}: {output[-2000:]}')

    def answer(self, call: Call) -> Answer:
        """One call of the script. A line that would fail a reader becomes a fault of the report."""
        command = shlex.join([call.program, *call.arguments]).replace("'", '')
        if call.program == 'failed':
            self.report.faults += [] if 'python' in command else [f'failed: {call.arguments[0]}']
            return Answer(0)
        if call.program == 'unknown':
            self.report.faults.append(f'{" ".join(call.arguments)}: no such program among those that are stood in for')
            return Answer(0)
        arguments = call.arguments[1:] if call.arguments[:1] == ['run'] and call.program == 'uv' else call.arguments
        with working_in(call.folder):
            try:
                return self.run_python(command, call, arguments)
            except Exception:
                self.report.faults.append(f'{command}\n{traceback.format_exc()}')
                return Answer(1)

    def run_python(self, command: str, call: Call, arguments: list[str]) -> Answer:
        script = next((Path(word) for word in arguments if word.endswith('.py')), None)
        reason = next((reason for pattern, reason in LISTED if re.fullmatch(pattern, command)), None)
        if script and (call.folder / script).resolve().is_relative_to(self.root / 'tools'):
            rest = arguments[arguments.index(str(script)) + 1 :]
            optional = [word.strip('[]') for word in rest]
            self.check_options(script, optional)
            required, depth = [], 0
            for word in rest:
                depth += word.count('[') if word.startswith('[') else 0
                required += [] if depth else [word]
                depth -= word.count(']') if word.endswith(']') and depth else 0
            arguments = [str(script), *required]
        if reason:
            self.report.listed[command] = reason
            self.pretend(script, arguments)
            return Answer(0)
        if call.program not in ('python', 'uv'):
            self.report.faults.append(f'{command}: is neither run nor in LISTED')
            return Answer(1)
        begin = time.process_time()
        status, output = self.run_in_process(script, arguments[1:], call, arguments)
        self.report.ran.append(f'{command}  ({time.process_time() - begin:.1f} s of CPU)')
        self.report.outputs.append(output)
        expected = STATUS.get((self.document, self.name_of(script)), 0) if script else 0
        if status != expected:
            self.report.faults.append(f'{command}: ended with {status}, expected {expected}\n{output[-3000:]}')
        return Answer(0 if status == expected else status, output)

    def name_of(self, script: Path) -> str:
        """``tools/...`` for a tool, else the name of the file."""
        resolved = script.resolve()
        return str(resolved.relative_to(self.root)) if resolved.is_relative_to(self.root) else script.name

    def tool(self, script: Path) -> ModuleType:
        source = script.resolve()
        if source not in self.tools:
            spec = importlib.util.spec_from_file_location(source.stem, source)
            self.tools[source] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self.tools[source])
        return self.tools[source]

    def check_options(self, script: Path, arguments: list[str]) -> None:
        """The tool's own parser takes the line with everything that stands in brackets."""
        shown = io.StringIO()
        try:
            with contextlib.redirect_stderr(shown):
                self.tool(script).parse_args(arguments)
        except SystemExit:
            self.report.faults.append(f'{script} {shlex.join(arguments)}: {shown.getvalue()[-500:]}')

    def pretend(self, script: Path | None, arguments: list[str]) -> None:
        """Of a training that is not run: its config can be read, and it leaves a checkpoint with nothing in it."""
        if script is None or self.name_of(script) not in ('tools/train.py', 'tools/test.py'):
            return
        from mmengine.config import Config

        cfg = Config.fromfile(arguments[1])
        if self.name_of(script) == 'tools/train.py':
            work_dir = Path('work_dirs') / Path(arguments[1]).stem
            work_dir.mkdir(parents=True, exist_ok=True)
            unit = 'iter' if 'max_iters' in cfg.train_cfg else 'epoch'
            if not list(work_dir.glob('best_*.pth')):
                (work_dir / f'best_mIoU_{unit}_1.pth').touch()

    def run_in_process(
        self, script: Path | None, arguments: list[str], call: Call | None = None, words: list[str] | None = None
    ) -> tuple[int, str]:
        """Exit status and what was printed."""
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown), self.python_path(call):
            try:
                status = self._run(script, arguments, words)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                shown.write(traceback.format_exc())
                status = 1
            finally:
                self.fresh_state()
        return status, shown.getvalue()

    def _run(self, script: Path | None, arguments: list[str], words: list[str] | None) -> int:
        if script is None:
            if not words or words[0] != '-c':
                raise RuntimeError('neither a script nor -c')
            exec(compile(words[1], '-c', 'exec'), {'__name__': '__main__'})
            return 0
        name = self.name_of(script)
        if not name.startswith('tools/'):
            sys.argv = [str(script), *arguments]
            runpy.run_path(str(script), run_name='__main__')
            return 0
        arguments = [*arguments, *SHORTER.get(name, [])]
        if name in ('tools/train.py', 'tools/test.py', 'tools/preflight.py'):
            cfg, options = short_options(arguments[0], name)
            self.weights_of(cfg)
            arguments = add_cfg_options(arguments, options)
        if name != 'tools/train.py':
            return self.tool(script).main(arguments)
        # The very same training, as of a second document, has already shown that its line works.
        key = (Path.cwd(), *arguments)
        if key not in self.trained:
            self.trained[key] = self.tool(script).main(arguments)
        return self.trained[key]

    def weights_of(self, cfg) -> None:
        from mmext.common.running import local_weights

        for path in local_weights(cfg):
            if path in MAKERS and not Path(path).exists():
                MAKERS[path](self.project, self.run_tool)

    @contextlib.contextmanager
    def python_path(self, call: Call | None) -> Iterator[None]:
        before, argv = list(sys.path), sys.argv
        sys.path[:0] = [folder for folder in (call.python_path if call else '').split(os.pathsep) if folder]
        try:
            yield
        finally:
            sys.path[:], sys.argv = before, argv
