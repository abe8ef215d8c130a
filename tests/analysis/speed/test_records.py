import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mmext.analysis.speed.records import (
    SpeedRecord,
    SpeedRecordError,
    Timing,
    append_speed_record,
    latest_records,
    read_speed_records,
)

RECORD = SpeedRecord(
    config='configs/a.py',
    shape_hw=(512, 1024),
    batch=2,
    device='cpu',
    precision='fp32',
    compiled=False,
    channels_last=True,
    timestamp='2026-01-02T03:04:05+00:00',
    network=Timing(10.0, 12.5, 200.0, 5),
    path=Timing(20, 22, 100, 5),
    stages={'decode': Timing(1.0, 1.5, 2000.0, 5)},
    peak_memory_bytes=123,
    params=7,
    macs=10,
    versions={'torch': '2'},
    notes=('one',),
)


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / 'new' / 'speed.jsonl'
    failed = replace(RECORD, shape_hw=None, error='out of memory', network=None, path=None, stages={})
    append_speed_record(file, RECORD)
    append_speed_record(file, failed)
    assert read_speed_records(file) == [RECORD, failed]
    assert len(file.read_text().splitlines()) == 2
    assert RECORD.flops == 20


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / 'speed.jsonl'
    records = [replace(RECORD, params=number) for number in range(60)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda record: append_speed_record(file, record), records))
    assert sorted(record.params for record in read_speed_records(file)) == list(range(60))


def test_a_line_cut_off_by_a_killed_writer_takes_no_other_with_it(tmp_path: Path) -> None:
    file = tmp_path / 'speed.jsonl'
    file.write_text('{"config": "a')
    append_speed_record(file, RECORD)
    with pytest.raises(SpeedRecordError, match=r'speed\.jsonl: line 1 is no speed record \(no JSON\); delete the line'):
        read_speed_records(file)
    file.write_text('\n'.join(file.read_text().splitlines()[1:]) + '\n\n')
    assert read_speed_records(file) == [RECORD]


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'shape_hw': [512]}, 'shape_hw'),
        ({'shape_hw': 512}, 'shape_hw'),
        ({'batch': 0}, 'batch'),
        ({'compiled': 'no'}, 'compiled'),
        ({'macs': -1}, 'macs'),
        ({'network': {'p50_ms': 1}}, 'network needs the numbers'),
        ({'stages': {'decode': {'p50_ms': 1, 'p95_ms': 1, 'images_per_s': float('nan'), 'repeats': 1}}}, 'decode'),
        ({'notes': 'text'}, 'notes'),
        ({'error': None}, 'error'),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict, match: str) -> None:
    file = tmp_path / 'speed.jsonl'
    append_speed_record(file, RECORD)
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps(content) + '\n')
    with pytest.raises(SpeedRecordError, match=match):
        read_speed_records(file)


def test_a_field_of_another_version_is_passed_over_and_a_missing_one_named(tmp_path: Path) -> None:
    file = tmp_path / 'speed.jsonl'
    append_speed_record(file, RECORD)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {'colour': 'red'}))
    assert read_speed_records(file) == [RECORD]
    file.write_text('[]')
    with pytest.raises(SpeedRecordError, match='expected an object, got list'):
        read_speed_records(file)
    del content['batch']
    file.write_text(json.dumps(content))
    with pytest.raises(SpeedRecordError, match='without batch'):
        read_speed_records(file)


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'tools/benchmarks/speed\.py'):
        read_speed_records(tmp_path / 'none.jsonl')
    (tmp_path / 'empty.jsonl').touch()
    assert read_speed_records(tmp_path / 'empty.jsonl') == []


def test_the_latest_of_each_setting() -> None:
    again = replace(RECORD, timestamp='later', macs=11)
    others = [replace(RECORD, batch=1), replace(RECORD, threads=2), replace(RECORD, compiled=True)]
    failed = replace(RECORD, timestamp='last', error='out of memory')
    assert latest_records([RECORD, *others, again, failed]) == [again, *others]
    assert latest_records([]) == []
