"""Only a run with a recipe's settings, on its data, to its end, stands beside a published figure with a difference."""

import statistics

import pytest

from mmext.analysis.published import read_published
from mmext.analysis.report.matching import RowError, find_row, match_runs, printed, scale, spread
from mmext.analysis.report.run_reader import read_all

STEM = 'toy_1xb4-100i_roads-8x6'


@pytest.fixture
def matched(project):
    """Matches of some runs."""

    def match(*paths, **chosen):
        return match_runs(read_all(paths), read_published(project / 'published.yml'), project, chosen)

    return match


def test_a_reproduction_has_a_difference_in_the_published_unit(make_run, matched):
    (match,) = matched(make_run('a', {50: {'mIoU': 52.0, 'aAcc': 81.5}, 100: {'mIoU': 51.25, 'aAcc': 81.0}}))
    assert match.verdict == 'reproduction'
    assert match.ours('mIoU').last == pytest.approx(0.5125)
    assert match.ours('mIoU').best == pytest.approx(0.52)
    assert match.delta('mIoU') == pytest.approx(0.0125)
    assert match.delta('aAcc') == pytest.approx(1.0)
    assert match.ours('latency') is None
    assert printed(match.delta('mIoU'), match.row.metrics['mIoU'], '+') == '+0.0125'


@pytest.mark.parametrize(
    ('settings', 'last', 'verdict', 'reason'),
    [
        ({'train_cfg.max_iters': 50}, 50, 'other settings', 'train_cfg.max_iters: 50, not 100'),
        ({'optim_wrapper.optimizer.lr': 0.1}, 100, 'other settings', 'optim_wrapper.optimizer.lr: 0.1, not 0.01'),
        ({'train_dataloader.dataset.data_root': 'data/mine'}, 100, 'other settings', 'data/mine, not data/roads'),
        ({'train_dataloader.dataset.data_root': 'data/samples/kitti_seg'}, 100, 'sample', 'embedded samples'),
        ({}, 50, 'unfinished', 'unfinished, 50 of 100 iterations'),
    ],
)
def test_all_others_have_none(make_run, matched, settings, last, verdict, reason):
    (match,) = matched(make_run('a', {50: {'mIoU': 50.0}}, settings, last=last))
    assert match.verdict == verdict
    assert reason in '; '.join(match.reasons)
    assert match.ours('mIoU').last == 0.5
    assert match.delta('mIoU') is None


def test_the_name_of_the_config_decides_unless_a_row_is_named(make_run, matched):
    path = make_run('a', {100: {'mIoU': 50.0}}, {'val_dataloader.dataset.data_root': '/disk/roads'}, config_name='mine')
    assert matched(path) == []
    (match,) = matched(path, a=STEM)
    assert match.verdict == 'reproduction'
    (match,) = matched(path, a='roads: Toy, large')
    assert match.verdict == 'other settings'
    assert match.reasons == ('model.channels: 8, not 36',)
    sample = make_run('b', {100: {'mIoU': 50.0}}, {'val_dataloader.dataset.data_root': 'data/samples/x'})
    assert matched(sample, b=STEM)[0].verdict == 'sample'


def test_another_number_of_processes_is_another_setting(make_run, matched):
    path = make_run('a', {100: {'mIoU': 50.0}})
    log = path / '20260101_120000' / '20260101_120000.log'
    log.write_text(log.read_text().replace('GPU number: 1', 'GPU number: 4'))
    (match,) = matched(path)
    assert match.reasons == ('processes: 4, not 1',)


def test_a_run_that_went_on_with_the_same_settings_reproduces(make_run, matched):
    make_run('a', {50: {'mIoU': 45.0}}, last=60)
    later = {'resume': True, 'load_from': 'iter_50.pth', 'model.init_cfg': None}
    path = make_run('a', {100: {'mIoU': 55.0}}, later, time='20260102_000000')
    assert [match.verdict for match in matched(path)] == ['reproduction']
    changed = make_run('a', {100: {'mIoU': 55.0}}, {**later, 'model.channels': 2}, time='20260103_000000')
    assert [match.verdict for match in matched(changed)] == ['other settings']


def test_a_start_that_failed_before_it_trained_does_not_count(make_run, matched):
    failed = make_run('a', {}, {'model.channels': 2}, time='20251231_120000') / '20251231_120000'
    (failed / 'vis_data' / 'scalars.json').write_text('')
    (failed / '20251231_120000.log').write_text('Config:\nmodel = 1\n')
    (match,) = matched(make_run('a', {100: {'mIoU': 55.0}}))
    assert match.verdict == 'reproduction'
    assert [start.trained for start in match.run.starts] == [False, True]


def test_several_seeds_have_a_mean(make_run, matched):
    values = [50.0, 51.0, 53.5]
    runs = [make_run(f'seed{seed}', {100: {'mIoU': value}}, seed=seed) for seed, value in enumerate(values)]
    unfinished = make_run('killed', {50: {'mIoU': 10.0}}, last=50)
    found = spread(matched(*runs, unfinished), 'mIoU')
    assert found.runs == 3
    assert found.mean == pytest.approx(sum(values) / 300)
    assert found.deviation == pytest.approx(statistics.stdev(values) / 100)
    assert spread(matched(runs[0]), 'mIoU') is None


def test_a_row_that_does_not_exist_is_named(project):
    rows = read_published(project / 'published.yml')
    with pytest.raises(RowError, match=r'--as toy-large: no published rows .* did you mean toy-large_1xb4'):
        find_row(rows, 'toy-large')
    # Two rows may name one config; then the name of the row tells.
    with pytest.raises(RowError, match='2 published rows'):
        find_row(rows, 'toy-large_1xb4-100i_roads-8x6')
    assert find_row(rows, 'films: Nothing printed').report == 'films'


def test_units():
    assert scale('%', '%') == scale('raw', 'raw') == 1
    assert scale('%', 'share') == 0.01
    assert scale('share', '%') == 100
    assert scale('raw', '%') is None
