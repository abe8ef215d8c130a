import random
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, default_collate

from mmext.common import seeding
from mmext.common.seeding import SeededDataLoader, SeededIndex, SeedingHook, derive_seed, seed_generators, seeded


def draws() -> list[float]:
    return [random.random(), np.random.rand(), float(torch.rand(()))]  # noqa: NPY002


class Draws(Dataset):
    """A sample is its index and three random numbers."""

    def __init__(self, samples: int = 10) -> None:
        self.samples, self.metainfo, self.loaded = samples, dict(classes=('a',)), Counter()

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> torch.Tensor:
        assert type(index) is int
        self.loaded[index] += 1
        return torch.tensor([index, *draws()], dtype=torch.float64)


class ByParity(BatchSampler):
    """Batches of even and of odd indices, as AspectRatioBatchSampler makes them of tall and wide images."""

    def __init__(self, sampler, batch_size: int) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, False

    def __iter__(self):
        waiting = ([], [])
        for index in self.sampler:
            waiting[index % 2].append(index)
            if len(waiting[index % 2]) == self.batch_size:
                yield waiting[index % 2].copy()
                waiting[index % 2].clear()
        yield from (batch for batch in waiting if batch)


class Listed(BaseDataset):
    """The same as mmengine has its datasets: a list of data, and transforms that draw."""

    def load_data_list(self) -> list[dict]:
        return [dict(number=number) for number in range(4)]


def transform(results: dict) -> dict:
    return dict(inputs=torch.tensor([results['number'], *draws()]), place=results['sample_idx'])


def loader(sampler=DefaultSampler, workers: int = 0, dataset=None, seed: int = 3, **settings) -> DataLoader:
    dataset = Draws() if dataset is None else dataset
    if sampler is ByParity:
        settings['batch_sampler'] = ByParity(DefaultSampler(dataset, seed=0), 3)
    else:
        settings |= dict(sampler=sampler(dataset, seed=0), batch_size=3)
    return seeded(DataLoader(dataset, num_workers=workers, collate_fn=default_collate, **settings), seed)


def take(batches, count: int) -> list[torch.Tensor]:
    return list(islice(batches, count))


def assert_same(one: list[torch.Tensor], two: list[torch.Tensor]) -> None:
    assert len(one) == len(two)
    assert all(torch.equal(left, right) for left, right in zip(one, two, strict=True))


def test_seeds_are_the_same_everywhere_and_differ_in_every_part():
    assert derive_seed(0, 0, 'step', 17) == 8093459981894657576
    parts = [(seed, rank, place) for seed in range(3) for rank in range(3) for place in range(50)]
    found = {derive_seed(*each) for each in parts}
    assert len(found) == len(parts)
    assert all(0 <= seed < 2**63 for seed in found)
    assert derive_seed(1, 12) != derive_seed(11, 2), 'numbers must not run into each other'


def test_all_generators_are_seeded():
    seed_generators(5)
    first = draws()
    assert draws() != first
    seed_generators(5)
    assert draws() == first
    seed_generators(6)
    assert not set(draws()) & set(first)


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler, ByParity])
def test_neither_workers_nor_the_state_of_the_process_matter(sampler):
    expected = take(loader(sampler), 3)
    draws()
    assert_same(take(loader(sampler, workers=2, prefetch_factor=1), 3), expected)
    assert not torch.equal(take(loader(sampler, seed=4), 1)[0][:, 1:], expected[0][:, 1:])


def test_every_sample_has_its_own_numbers_and_every_pass_others():
    batches = loader()
    first = torch.cat(list(batches))
    assert len(first[:, 1:].unique()) == 30
    assert_same(list(batches), [*first.split(3)])
    batches.seek(1)
    second = torch.cat(list(batches))
    assert torch.equal(second[:, 0], first[:, 0]), 'the order is the affair of the sampler'
    assert not set(second[:, 1].tolist()) & set(first[:, 1].tolist())


def test_the_same_sample_has_other_numbers_at_another_place():
    class Twice(DefaultSampler):
        def __iter__(self):
            return iter([4, 4])

    (batch,) = loader(Twice)
    assert batch[:, 0].tolist() == [4, 4]
    assert batch[0, 1] != batch[1, 1]


@pytest.mark.parametrize('sampler', [DefaultSampler, InfiniteSampler, ByParity])
@pytest.mark.parametrize('workers', [0, 1])
def test_beginning_in_the_middle_loads_nothing_before_it(sampler, workers):
    whole = take(loader(sampler), 4)
    rest = loader(sampler, workers)
    rest.seek(0, 2)
    assert_same(take(rest, 2), whole[2:])
    if not workers and sampler is not InfiniteSampler:
        assert rest.dataset.loaded.total() == sum(map(len, whole[2:]))


def test_only_the_next_iteration_begins_there():
    batches = loader()
    whole = list(batches)
    batches.seek(0, 3)
    assert_same(list(batches), whole[3:])
    assert_same(list(batches), whole)


def test_persistent_workers_begin_anew_where_they_are_told():
    batches = loader(workers=1, persistent_workers=True)
    whole = list(batches)
    batches.seek(0, 2)
    assert_same(list(batches), whole[2:])


def test_kept_workers_end_with_the_loader():
    batches = loader(workers=1, persistent_workers=True)
    next(iter(batches))
    (worker,) = batches._iterator._workers
    del batches
    assert not worker.is_alive()


def test_passing_over_more_than_a_pass():
    """Four batches a pass, shuffled anew by `set_epoch`."""
    passes = loader()
    second = []
    for epoch in range(2):
        passes.sampler.set_epoch(epoch)
        passes.seek(epoch)
        second = list(passes)
    far = loader()
    far.seek(0, 4 + 2)
    assert_same(list(far), second[2:])
    assert far.place.epoch == 1
    far.seek(0, 4)
    assert list(far) == []
    assert far.place.epoch == 0, 'a pass that is just finished is finished'


def test_an_endless_sampler_goes_on_without_passes():
    far = loader(InfiniteSampler)
    whole = take(loader(InfiniteSampler), 30)
    far.seek(0, 25)
    assert_same(take(far, 5), whole[25:])
    assert far.place.epoch == 0


def test_a_sampler_without_a_batch_is_an_error_and_not_an_endless_search():
    batches = loader(dataset=Draws(2), drop_last=True)
    assert list(batches) == []
    batches.seek(0, 1)
    with pytest.raises(ValueError, match='no full batch; make batch_size smaller'):
        list(batches)


def test_an_iterator_that_is_not_used_moves_nothing_on():
    """mmengine 0.10.7 makes one before it knows from where training goes on."""
    batches = loader(InfiniteSampler)
    expected = take(loader(InfiniteSampler), 2)
    unused = iter(batches)
    assert_same(take(batches, 2), expected)
    del unused


def test_everything_else_stays_what_it_was():
    dataset = Draws()
    plain = DataLoader(dataset, sampler=DefaultSampler(dataset), batch_size=3, collate_fn=default_collate)
    kept = {name: getattr(plain, name) for name in ('dataset', 'sampler', 'batch_sampler', 'batch_size', 'collate_fn')}
    made = seeded(plain, 0)
    assert made is plain
    assert isinstance(made, SeededDataLoader)
    assert isinstance(made, DataLoader)
    assert all(getattr(made, name) is value for name, value in kept.items())
    assert len(made) == 4
    assert made.dataset.metainfo == dict(classes=('a',))
    assert dataset[3][0] == 3


@pytest.mark.parametrize('num_batch_per_epoch', [None, 3])
def test_mmengines_datasets_within_others_are_seeded_too(num_batch_per_epoch):
    settings = dict(
        dataset=dict(type=RepeatDataset, dataset=Listed(pipeline=[transform]), times=2),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        batch_size=2,
        num_batch_per_epoch=num_batch_per_epoch,
    )
    batches = seeded(Runner.build_dataloader(settings, seed=0), 0)
    found, again = (torch.cat([batch['inputs'] for batch in batches]) for _ in range(2))
    assert torch.equal(found, again)
    assert len(found[:, 1].unique()) == len(found) == 2 * len(batches)


def test_what_cannot_be_seeded_is_left_alone():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(4))

    class Own(DataLoader):
        pass

    for plain in (DataLoader(Stream()), DataLoader([1, 2, 3]), Own(Draws()), DataLoader(Draws(), batch_size=None)):
        kind = type(plain)
        assert type(seeded(plain, 0)) is kind
        assert len(list(plain)) == len(list(plain)) > 0


def test_indices_without_a_seed_are_loaded_as_ever():
    items = seeding.SeededItems([10, 20, 30])
    assert items([2, SeededIndex(0, seed=1)]) == [30, 10]


def run_at(iteration: int, epoch: int = 0, rank: int = 0) -> SimpleNamespace:
    from mmengine.runner import BaseLoop

    class Loop(BaseLoop):
        def __init__(self) -> None:
            self.iter, self.epoch = iteration, epoch

        def run(self) -> None:
            pass

    return SimpleNamespace(_train_loop=Loop(), seed=3, rank=rank)


def test_steps_are_seeded_by_their_number():
    hook, found = SeedingHook(), {}
    for rank, iteration in ((0, 0), (0, 1), (1, 0)):
        hook.before_train_iter(run_at(iteration, rank=rank), batch_idx=0)
        found[rank, iteration] = draws()
    assert len({tuple(each) for each in found.values()}) == 3
    hook.before_train_iter(run_at(1), batch_idx=7)
    assert draws() == found[0, 1]


def test_an_epoch_begins_the_same_when_it_is_resumed_in_its_middle():
    hook = SeedingHook()
    hook.before_train_epoch(run_at(6, epoch=2))
    first = draws()
    hook.before_train_epoch(run_at(8, epoch=2))
    assert draws() == first


def test_validating_alone_builds_no_train_loop():
    runner = SimpleNamespace(_train_loop=dict(type='any'), seed=3, rank=0)
    SeedingHook().before_val_epoch(runner)
