"""What is known about the initial weights: per tensor, per module and per file."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

# Every status but 'loaded', in the order of the table, with what it means.
NOT_LOADED = {
    'missing': 'the file that should fill the module has no such tensor',
    'shape': 'the file has it in another shape',
    'changed': 'the file has it, with other values: it was changed after loading, or not loaded',
    'unproven': 'the file cannot be read',
    'random': 'no file was named for it',
}
LISTED = 3  # names that a message or a line of the table lists; the JSON file has all


@dataclass
class FileUse:
    """One module that a file is loaded into, by which setting, and whether nothing at all came of it."""

    module: str
    prefix: str
    origin: str
    idle: bool


@dataclass
class FileProof:
    """A file of weights.

    Attributes:
        address: As the config names it.
        path: The local file.
        sha256: Of its bytes; '' if it does not exist.
        size: In bytes.
        error: Why it could not be read, or ''.
        names: Of its tensors, counters of batch norm aside.
        uses: Modules that it is loaded into.
        expected: Names that one of these modules has.
        unasked: Names that none of these modules has although they begin with the prefix.
    """

    address: str
    path: str = ''
    sha256: str = ''
    size: int = 0
    error: str = ''
    names: list[str] = field(default_factory=list)
    uses: list[FileUse] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    unasked: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class TensorProof:
    """A tensor of the model.

    Attributes:
        name: As in the state dict.
        shape: Its shape.
        is_parameter: Whether it is a parameter; else it is a buffer.
        frozen: Whether training leaves it alone: no gradient, or statistics of a batch norm in evaluation mode.
        status: 'loaded' or one of `NOT_LOADED`.
        file: The file that holds it, or should.
        file_name: Its name there.
        file_shape: Its shape there, if that is another one.
    """

    name: str
    shape: tuple[int, ...]
    is_parameter: bool = True
    frozen: bool = False
    status: str = 'random'
    file: FileProof | None = None
    file_name: str = ''
    file_shape: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def with_status(
        self, status: str, file: FileProof, file_name: str = '', file_shape: tuple[int, ...] | None = None
    ) -> 'TensorProof':
        return replace(self, status=status, file=file, file_name=file_name, file_shape=file_shape)

    def to_dict(self) -> dict:
        """As plain values."""
        content = dict(name=self.name, shape=list(self.shape), status=self.status, frozen=self.frozen)
        if self.file:
            content |= dict(file=self.file.address, file_name=self.file_name)
        return content | (dict(file_shape=list(self.file_shape)) if self.file_shape is not None else {})


@dataclass(frozen=True)
class ModuleProof:
    """The tensors of one module, or of the whole model (name '')."""

    name: str
    tensors: Sequence[TensorProof]

    @property
    def loaded(self) -> list[TensorProof]:
        return [tensor for tensor in self.tensors if tensor.status == 'loaded']

    @property
    def not_loaded(self) -> dict[str, int]:
        """Number of tensors by status, those without any left out."""
        counts = Counter(tensor.status for tensor in self.tensors)
        return {status: counts[status] for status in NOT_LOADED if counts[status]}

    @property
    def files(self) -> list[FileProof]:
        """Those that something was loaded from, each once."""
        return list({id(tensor.file): tensor.file for tensor in self.loaded}.values())

    @property
    def share(self) -> float:
        """Share of the parameters' values that are loaded; of the tensors where there are no parameters."""
        total = values(self.tensors)
        return values(self.loaded) / total if total else len(self.loaded) / max(len(self.tensors), 1)

    @property
    def kind(self) -> tuple:
        """Equal for modules that were loaded alike."""
        return tuple(sorted({tensor.status for tensor in self.tensors})), tuple(id(file) for file in self.files)

    def to_dict(self) -> dict:
        """As plain values; sizes count the values of parameters, buffers aside."""
        frozen = values(tensor for tensor in self.tensors if tensor.frozen)
        return dict(
            name=self.name,
            tensors=len(self.tensors),
            tensors_loaded=len(self.loaded),
            parameters=values(self.tensors),
            parameters_loaded=values(self.loaded),
            share_loaded=self.share,
            trained=values(self.tensors) - frozen,
            frozen=frozen,
            tensors_trained=sum(tensor.is_parameter and not tensor.frozen for tensor in self.tensors),
            tensors_frozen=sum(tensor.is_parameter and tensor.frozen for tensor in self.tensors),
            not_loaded=self.not_loaded,
            files=[file.address for file in self.files],
        )


def values(tensors: Iterable[TensorProof]) -> int:
    """Number of values in the parameters among the tensors."""
    return sum(tensor.size for tensor in tensors if tensor.is_parameter)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f' and {len(names) - LISTED} more' if len(names) > LISTED else ''
    return ', '.join(names[:LISTED]) + more


def percent(share: float) -> str:
    """With one decimal, rounded down: 100.0 % means all."""
    return f'{math.floor(share * 1000) / 10:.1f} %'
