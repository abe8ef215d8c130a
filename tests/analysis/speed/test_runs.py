import io
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mmext.analysis.speed import runs as module
from mmext.analysis.speed.measure import SpeedSettings
from mmext.analysis.speed.records import STAGES, SpeedRecord, Timing, read_speed_records
from mmext.analysis.speed.runs import (
    combinations,
    facts,
    label,
    measure_all,
    measure_apart,
    print_speed_table,
    short_names,
    speed_table,
)


def measured(settings: SpeedSettings) -> SpeedRecord:
    """What a process would find."""
    params, macs, notes = settings.cost or (1_500_000, 2_000_000_000, ('MACs: some',))
    return replace(
        settings.record(params=params, macs=macs, notes=('own', *notes)),
        shape_hw=settings.shape_hw or (4, 8),
        device='cpu',
        device_name='processor',
        threads=1,
        network=Timing(10.0, 12.0, 99.5, 3),
        path=Timing(20.0, 22.0, 49.0, 3),
        stages={name: Timing(5.0, 6.0, 200.0, 3) for name in STAGES},
        peak_memory_bytes=7_000_000,
        stable=True,
        versions={'torch': '2'},
    )


def test_every_combination_and_what_is_optional_also_without() -> None:
    found = combinations(['a', 'b'], ['x', 'y'], [1, 8], ['fp32', 'bf16'], True, True, repeats=3)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2 * 2
    assert {(one.config, one.checkpoint) for one in found} == {('a', 'x'), ('b', 'y')}
    assert [one.config for one in found] == ['a'] * 16 + ['b'] * 16
    assert all(one.repeats == 3 for one in found)
    (only,) = combinations(['a'], [], [1], ['fp32'], False, False)
    assert only == SpeedSettings('a')
    with pytest.raises(ValueError, match='1 for 2 configs'):
        combinations(['a', 'b'], ['x'], [1], ['fp32'], False, False)


def test_a_failure_stops_nothing_and_costs_are_counted_once(tmp_path: Path) -> None:
    asked, told = [], []

    def measure_one(settings: SpeedSettings) -> SpeedRecord:
        asked.append(settings)
        if settings.batch == 2:
            return settings.record(error='out of memory: no')
        return measured(settings)

    out = tmp_path / 'speed.jsonl'
    settings = combinations(['a', 'b'], [], [1, 2, 3], ['fp32'], False, False)
    records = measure_all(settings, out, measure_one, told.append)
    assert [bool(record.error) for record in records] == [False, True, False] * 2
    assert read_speed_records(out) == records
    cost = (1_500_000, 2_000_000_000, ('MACs: some',))
    assert [one.cost for one in asked] == [None, cost, cost] * 2
    assert told[0] == 'a, its own shape, batch 1, fp32 ...'
    assert told[3] == '  error: out of memory: no'
    assert told[1] == '  network 10.0 ms, path 20.0 ms a batch, 99.50 images/s'


def test_the_table_and_the_facts_of_measurements_and_failures() -> None:
    record = measured(SpeedSettings('configs/[a].py', precision='bf16', compiled=True))
    failed = SpeedSettings('configs/b.py', batch=2).record(error='no')
    console = Console(width=220, record=True, file=io.StringIO())
    console.print(speed_table([record, failed]))
    text = console.export_text()
    for cell in ('[a]', '4 x 8, batch 1, bf16, compiled', '10.0 / 12.0', '99.50', '20.0 / 22.0', '7', '1.500', '2.000'):
        assert cell in text
    assert text.count('5.0 / 6.0') == len(STAGES)
    assert 'failed' in text
    assert facts([failed]) == []
    assert len(facts([record, record])) == len(facts([record])) == 6
    assert label(failed) == 'b, its own shape, batch 2, fp32'


@pytest.mark.parametrize('is_terminal', [True, False])
def test_a_narrow_console_cuts_nothing_off(is_terminal: bool) -> None:
    config = 'configs/context/ppm_mobilenet-v3-large-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'
    settings = [SpeedSettings(config, (512, 1024), precision=name) for name in ('fp32', 'bf16')]
    slow = [replace(measured(one), path=Timing(13_300.5, 14_400.25, 49.0, 3), macs=123_456_000_000) for one in settings]
    shown = io.StringIO()
    print_speed_table(slow, Console(width=60, file=shown, force_terminal=is_terminal, color_system=None))
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert len({len(line) for line in lines[1:]}) == 1
    assert all(line[-1] in '┓┃┩│┘' for line in lines[1:])
    rows = [line for line in lines if 'ppm_mobilenet-v3-large-d8-in1k-pre ' in line]
    assert [name in row for name, row in zip(('fp32', 'bf16'), rows, strict=True)] == [True, True]
    assert all('13300.5 / 14400.2' in row and row.endswith(' 123.456 │') for row in rows)
    assert '…' not in shown.getvalue()


def test_names_in_the_table_leave_out_schedule_and_data_but_stay_different() -> None:
    files = ['a_r18_1xb4-20k_kitti-1x1.py', 'b_r18_1xb4-20k_kitti-1x1.py', 'x/b_r18_1xb4-40k_kitti-1x1.py']
    names = short_names(files)
    assert list(names.values()) == ['a_r18', 'b_r18_1xb4-20k_kitti-1x1', 'b_r18_1xb4-40k_kitti-1x1']
    assert short_names(['configs/quickstart.py'] * 2) == {'configs/quickstart.py': 'quickstart'}


def test_a_process_that_is_killed_is_a_record(monkeypatch) -> None:
    def killed(*_, **__):
        return subprocess.CompletedProcess([], -signal.SIGKILL, b'')

    monkeypatch.setattr(module.subprocess, 'run', killed)
    record = measure_apart(SpeedSettings('a.py', (4, 8)))
    assert record.error.startswith('the process was ended by SIGKILL; most likely out of memory')
    monkeypatch.setattr(module.subprocess, 'run', lambda *_, **__: subprocess.CompletedProcess([], 1, b'x\nlast\n\n'))
    assert measure_apart(SpeedSettings('a.py')).error == 'the process ended with status 1: last'


def test_a_process_of_its_own_answers(tmp_path: Path) -> None:
    record = measure_apart(SpeedSettings(str(tmp_path / 'none.py'), (4, 8), batch=5))
    assert 'no such config file' in record.error
    assert (record.shape_hw, record.batch) == ((4, 8), 5)
