"""What the weight converters' command lines share: read, convert, show the report, and write only what is whole."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from mmext.common.files import write_text
from mmext.common.weight_conversion import ConversionReport, WeightsError, read_state_dict, write_state_dict

Converter = Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], ConversionReport]]
Reader = Callable[[Path], Mapping[str, Tensor]]


def run_conversion(
    src: Path,
    dst: Path,
    convert: Converter,
    objection: Callable[[ConversionReport], str],
    report_file: Path | None = None,
    read: Reader = read_state_dict,
) -> int:
    """Convert a file of weights and print what became of every tensor.

    Args:
        src: The source.
        dst: The result; written only if nothing stands against it.
        convert: From the source's tensors to those of the target and a report.
        objection: What else stands against the result, with the fix, or ''.
        report_file: The report as JSON goes here too, also where the result is refused.
        read: Reads the source; raises `WeightsError` or `OSError`.

    Returns:
        The exit status: 1 after an error, which is printed.
    """
    # Piped output has no width of its own, and rich would fold every name at column 80.
    console = Console(width=None if sys.stdout.isatty() else 220)
    try:
        _convert_file(src, dst, convert, objection, report_file, read, console)
    except (WeightsError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def _check_finite(src: Path, source: Mapping[str, Tensor]) -> None:
    for name, tensor in source.items():
        # The sum tells most of the time, without an array of the tensor's size.
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
            wrong = int((~torch.isfinite(tensor)).sum())
            if wrong:
                raise WeightsError(
                    f'{src}: {wrong} values of tensor {name!r} are NaN or infinite, every output would be too. '
                    'Fix: fetch the file again, or take a checkpoint from before the training diverged.'
                )


def _convert_file(
    src: Path,
    dst: Path,
    convert: Converter,
    objection: Callable[[ConversionReport], str],
    report_file: Path | None,
    read: Reader,
    console: Console,
) -> None:
    if src.resolve() == dst.resolve():
        raise WeightsError(f'{dst}: is the source itself. Fix: give another DST.')
    source = read(src)
    _check_finite(src, source)
    try:
        converted, report = convert(source)
    except WeightsError as error:
        raise WeightsError(f'{src}: {error}') from error
    console.print(report.table())
    if report_file:
        report_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(report_file, report.to_json())
    if not report.ok:
        raise WeightsError(report.error(str(src)))
    if reason := objection(report):
        raise WeightsError(f'{src}: {reason}')
    meta = {'arch': report.arch, 'layout': report.layout, 'source': src.name, 'notes': report.notes}
    write_state_dict(dst, converted, meta)
    for note in report.notes:
        console.print(f'Note: {note}', markup=False)
    console.print(f'{report.summary()}\nwritten to {dst}', markup=False)
