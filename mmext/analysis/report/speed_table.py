"""The speed card: what was measured of the networks, one line a measurement."""

from collections.abc import Sequence

from mmext.analysis.speed.records import SpeedRecord, Timing, latest_records

from .document import NOTHING, Cell, Part, Table
from .experiment_tables import Links

COLUMNS = (
    *('config', 'height x width', 'batch', 'precision', 'network p50, ms', 'network p95, ms', 'images/s'),
    *('whole path p50, ms', 'decode, ms', 'preprocess, ms', 'postprocess, ms', 'memory, MB', 'parameters, M', 'GMACs'),
    *('device', 'threads', 'measured'),
)


def speed_part(records: Sequence[SpeedRecord], links: Links) -> Part:
    """A section with everything that was measured."""
    intro = 'Times of a batch on the machine named; MB are mebibytes, GMACs are billions of multiply-adds of one image.'
    return Part('Speed card', intro, blocks=[speed_table(records, links, 'speed card')])


def speed_table(records: Sequence[SpeedRecord], links: Links, name: str, caption: str = '') -> Table:
    """The last measurement of each setting; those that failed are left out."""
    rows = []
    for record in latest_records(records):
        source = f'{record.config}, {record.timestamp}, {record.device_name or record.device}'
        network, path = record.network, record.path
        extras = '+'.join(
            name for name, on in (('compiled', record.compiled), ('channels last', record.channels_last)) if on
        )
        rows.append(
            [
                Cell(record.config.rsplit('/', 1)[-1].removesuffix('.py'), link=links.config(record.config), code=True),
                Cell(f'{record.shape_hw[0]} x {record.shape_hw[1]}', record.shape_hw[0] * record.shape_hw[1], source),
                Cell(str(record.batch), record.batch, source),
                Cell(f'{record.precision}{" " if extras else ""}{extras}', code=True),
                _time(network, 'p50_ms', source),
                _time(network, 'p95_ms', source),
                _time(network, 'images_per_s', source),
                _time(path, 'p50_ms', source),
                *(_time(record.stages.get(name), 'p50_ms', source) for name in ('decode', 'preprocess', 'postprocess')),
                _scaled(record.peak_memory_bytes, 2**20, 0, source),
                _scaled(record.params, 1e6, 3, source),
                _scaled(record.macs, 1e9, 3, source),
                Cell(record.device_name or record.device, code=True),
                NOTHING if record.threads is None else Cell(str(record.threads), record.threads, source),
                Cell(record.timestamp, code=True),
            ]
        )
    return Table(COLUMNS, rows, name, caption)


def _time(timing: Timing | None, name: str, source: str) -> Cell:
    if timing is None:
        return NOTHING
    value = getattr(timing, name)
    return Cell(f'{value:.1f}', value, f'{source}, {timing.repeats} repeats')


def _scaled(value: float | None, unit: float, decimals: int, source: str) -> Cell:
    return NOTHING if value is None else Cell(f'{value / unit:.{decimals}f}', value, source)
