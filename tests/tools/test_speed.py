from pathlib import Path

import pytest

from mmext.analysis.speed import runs
from mmext.analysis.speed.records import DEFAULT_FILE, read_speed_records

QUICKSTART = 'configs/quickstart.py'


def test_defaults_and_options(load_tool) -> None:
    parse = load_tool('benchmarks/speed.py').parse_args
    args = parse(['a.py'])
    assert (args.batch, args.precision, args.repeats, args.out) == ([1], ['fp32'], 20, DEFAULT_FILE)
    args = parse(['a.py', 'b.py', '--shape', '512', '1024', '--batch', '1', '8', '--precision', 'fp32', 'bf16'])
    assert (args.configs, args.shape, args.batch, args.precision) == (
        ['a.py', 'b.py'],
        [512, 1024],
        [1, 8],
        ['fp32', 'bf16'],
    )


@pytest.mark.parametrize(
    'wrong', [['--batch', '0'], ['--shape', '8'], ['--precision', 'fp8'], ['--repeats', 'many'], []]
)
def test_arguments_without_sense_are_refused(load_tool, wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        load_tool('benchmarks/speed.py').main([*(['a.py'] if wrong else []), *wrong])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['none.py'], 'error: none.py: no such file'),
        ([QUICKSTART, '--checkpoint', 'none.pth'], 'error: none.pth: no such file'),
        ([QUICKSTART, '--images', 'mmext'], 'error: --images mmext: no pictures in it'),
        ([QUICKSTART, QUICKSTART, '--checkpoint', QUICKSTART], 'error: --checkpoint: 1 for 2 configs'),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(
    load_tool, in_root: Path, tmp_path: Path, capsys, arguments: list[str], message: str
) -> None:
    out = tmp_path / 'speed.jsonl'
    assert load_tool('benchmarks/speed.py').main([*arguments, '--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count('\n') == 1
    assert not out.exists()


def test_a_failed_combination_is_a_record_and_the_exit_status(
    load_tool, in_root: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(runs, 'measure_apart', lambda settings: settings.record(error='out of memory: no'))
    out = tmp_path / 'speed.jsonl'
    arguments = [QUICKSTART, '--shape', '32', '64', '--batch', '1', '2', '--out', str(out)]
    assert load_tool('benchmarks/speed.py').main(arguments) == 1
    assert [record.error for record in read_speed_records(out)] == ['out of memory: no'] * 2
    assert 'failed' in capsys.readouterr().out


def test_what_was_measured_stays_when_it_is_stopped(
    load_tool, in_root: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def stop(settings):
        if settings.batch == 2:
            raise KeyboardInterrupt
        return settings.record(error='no')

    monkeypatch.setattr(runs, 'measure_apart', stop)
    out = tmp_path / 'speed.jsonl'
    assert load_tool('benchmarks/speed.py').main([QUICKSTART, '--batch', '1', '2', '--out', str(out)]) == 130
    assert 'has what was measured until then' in capsys.readouterr().err
    assert len(read_speed_records(out)) == 1


@pytest.mark.slow
def test_a_model_in_a_process_of_its_own_and_one_without_a_compiler(
    load_tool, in_root: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    # The compiler is found neither by this name nor in the cache of an earlier run.
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'cache'))
    images, out = in_root / 'data/samples/kitti_seg/training/image_2', tmp_path / 'speed.jsonl'
    arguments = [QUICKSTART, '--shape', '32', '64', '--device', 'cpu', '--compile', '--repeats', '2']
    arguments += ['--images', str(images), '--out', str(out)]
    assert load_tool('benchmarks/speed.py').main(arguments) == 1
    plain, compiled = read_speed_records(out)
    assert plain.error == ''
    assert plain.config == QUICKSTART
    assert plain.task == 'segmentation'
    assert plain.network.repeats == plain.path.repeats == 2
    parts = [plain.stages[name].p50_ms for name in ('decode', 'preprocess', 'network', 'postprocess')]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(plain.path.p50_ms, rel=0.3)
    assert plain.peak_memory_bytes > 4 * plain.params
    assert plain.macs > 1_000_000
    assert {'torch', 'mmcv', 'mmseg', 'line'} <= set(plain.versions)
    assert plain.threads >= 1
    assert f'{len(list(images.iterdir()))} pictures' in plain.images
    assert compiled.error.startswith('--compile: ')
    assert '\n' not in compiled.error
