"""Where the weights of a model come from, as a table and as plain values."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .parts import NOT_LOADED, FileProof, ModuleProof, TensorProof, listed, percent

DEPTH = 2  # levels of modules in the table
WIDTH = 160  # characters a line in the log


@dataclass(frozen=True)
class InitialisationProof:
    """Where the weights of a model come from."""

    tensors: Sequence[TensorProof]
    files: Sequence[FileProof]

    def module(self, name: str) -> ModuleProof:
        """The tensors within a module, or one tensor by its name; '' is the whole model.

        Raises:
            ValueError: Nothing has this name, or it has no tensors; names similar ones.
        """
        dotted = f'{name}.' if name else ''
        tensors = [tensor for tensor in self.tensors if tensor.name == name or tensor.name.startswith(dotted)]
        if not tensors and name:
            known = {'.'.join(parts[:end]): None for parts in self._parts() for end in range(1, len(parts) + 1)}
            similar = get_close_matches(name, known, n=3) or list(dict.fromkeys(parts[0] for parts in self._parts()))
            raise ValueError(f'{name!r}: the model has no weights of that name; did you mean {", ".join(similar)}?')
        return ModuleProof(name, tensors)

    def _parts(self) -> list[list[str]]:
        return [tensor.name.split('.') for tensor in self.tensors]

    def modules(self, parent: str = '', depth: int = DEPTH) -> list[ModuleProof]:
        """The model's modules, in order; a module whose parts were loaded differently is given part by part."""
        level = parent.count('.') + 1 if parent else 0
        names = dict.fromkeys('.'.join(t.name.split('.')[: level + 1]) for t in self.module(parent).tensors)
        found = []
        for name in names:
            module = self.module(name)
            parts = self.modules(name, depth - 1) if depth > 1 and [t.name for t in module.tensors] != [name] else []
            found += parts if len({part.kind for part in parts}) > 1 else [module]
        return found

    def unexpected(self, file: FileProof) -> list[str]:
        """Names in a file that a module was to be loaded with and that it does not have."""
        used = {tensor.file_name for tensor in self.tensors if tensor.status == 'loaded' and tensor.file is file}
        return [name for name in file.names if name in file.unasked and name not in used and name not in file.expected]

    def other_names(self, file: FileProof) -> list[str]:
        """Names in a file outside the prefixes that were asked for."""
        return [name for name in file.names if name not in file.unasked and name not in file.expected]

    def frozen_random(self, allowed: Sequence[str] = ()) -> list[TensorProof]:
        """Tensors that are neither loaded nor trained, those within the allowed modules aside."""
        return [
            tensor
            for tensor in self.tensors
            if tensor.frozen
            and tensor.status not in ('loaded', 'unproven')
            and not any(tensor.name == name or tensor.name.startswith(f'{name}.') for name in allowed)
        ]

    def table(self) -> Table:
        """One row per module of `modules`, and the whole model; `files` says what the numbers of the files mean."""
        table = Table(box=box.SIMPLE, title='Initial weights', title_justify='left')
        for column in ('module', 'tensors', 'parameters', 'loaded', 'trained', 'frozen', 'not loaded', 'file'):
            numeric = column in ('tensors', 'parameters', 'loaded', 'trained', 'frozen')
            table.add_column(column, justify='right' if numeric else 'left', no_wrap=numeric, overflow='fold')
        modules = self.modules()
        for module in modules:
            table.add_row(*self._row(module), end_section=module is modules[-1])
        table.add_row(*self._row(self.module('')))
        return table

    def _row(self, module: ModuleProof) -> list[str]:
        facts = module.to_dict()
        return [
            escape(module.name or 'all'),
            f'{facts["tensors_loaded"]}/{facts["tensors"]}',
            f'{facts["parameters"]:,}',
            percent(module.share),
            f'{facts["trained"]:,}',
            f'{facts["frozen"]:,}',
            ', '.join(f'{count} {status}' for status, count in module.not_loaded.items()),
            ', '.join(f'[{number}]' for number, file in enumerate(self.files, 1) if file in module.files),
        ]

    def text(self) -> str:
        """The table, the files and the first names of what was not loaded, for a log."""
        stream = io.StringIO()
        Console(file=stream, width=WIDTH, color_system=None).print(self.table())
        lines = [line.rstrip() for line in stream.getvalue().strip().splitlines()]
        for number, file in enumerate(self.files, 1):
            lines += self._file_lines(number, file)
        for status, meaning in NOT_LOADED.items():
            names = [tensor.name for tensor in self.tensors if tensor.status == status]
            if names:
                lines.append(f'{status} ({meaning}): {listed(names)}')
        return '\n'.join(lines)

    def _file_lines(self, number: int, file: FileProof) -> list[str]:
        into = ', '.join(
            f'{use.module or "the model"} by {use.origin}' + f' (prefix {use.prefix!r})' * bool(use.prefix)
            for use in file.uses
        )
        lines = [f'[{number}] {file.address}, into {into}']
        if file.path != file.address:
            lines.append(f'    file {file.path}')
        lines.append(f'    SHA-256 {file.sha256 or "-"}, {file.size:,} bytes, {len(file.names)} tensors')
        if file.error:
            lines.append(f'    {file.error}')
        for what, names in (('unexpected', self.unexpected(file)), ('other', self.other_names(file))):
            if names:
                lines.append(f'    {len(names)} {what}: {listed(names)}')
        return lines

    def to_dict(self) -> dict:
        """As plain values for JSON: the modules of the table, the files, and every tensor that is not loaded as it is.

        Tensors that are loaded under their own name are not listed.
        """
        return dict(
            total=self.module('').to_dict(),
            modules=[module.to_dict() for module in self.modules()],
            files=[self._file_dict(file) for file in self.files],
            not_loaded=[tensor.to_dict() for tensor in self.tensors if tensor.status != 'loaded'],
            renamed=[
                tensor.to_dict()
                for tensor in self.tensors
                if tensor.status == 'loaded' and tensor.file_name not in tensor.file.expected
            ],
        )

    def _file_dict(self, file: FileProof) -> dict:
        return dict(
            address=file.address,
            path=file.path,
            sha256=file.sha256,
            bytes=file.size,
            error=file.error,
            tensors=len(file.names),
            uses=[vars(use) for use in file.uses],
            unexpected=self.unexpected(file),
            outside_prefix=self.other_names(file),
        )
