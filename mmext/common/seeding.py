"""Random numbers that are a function of where a training stands, so that nothing of them has to be stored.

Before every training step the generators of the process are seeded from (seed of the run, rank, iteration), and before
every sample those of the process that loads it from (seed, rank, pass over the data, place in the sampler's order). A
run that goes on from a checkpoint therefore draws what it would have drawn, and neither the number of workers nor how
far they load ahead makes a difference.

Seeded are Python's `random`, NumPy's global generator and torch's; not generators that a library keeps for itself.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader, IterableDataset


def derive_seed(*parts: int | str) -> int:
    """A seed of 63 bits for a combination of numbers and words, the same on every machine."""
    text = '/'.join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), 'little') >> 1


def seed_generators(seed: int) -> None:
    """Seed the global generators of this process: Python, NumPy, torch on the CPU and on GPUs that are in use."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (transforms draw from the global generator)
    # Not torch.manual_seed: where no GPU is in use it collects a stack trace for a later start of CUDA.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


class SeedingHook(Hook):
    """Seeds the process before each training step, and wherever an epoch or a validation begins or ends.

    Register it first. `DurableRunner` does.
    """

    priority = 'HIGHEST'

    def before_train_epoch(self, runner) -> None:
        self._seed(runner, 'epoch')

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        self._seed(runner, 'step')

    def after_train_epoch(self, runner) -> None:
        self._seed(runner, 'end of epoch')

    def before_val_epoch(self, runner) -> None:
        self._seed(runner, 'validation')

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self._seed(runner, 'end of validation')

    def _seed(self, runner, moment: str) -> None:
        loop = runner._train_loop  # runner.iter would build the loop of a run that does not train
        if moment == 'epoch' and isinstance(loop, BaseLoop):
            place = loop.epoch  # an epoch that is resumed in its middle begins as it began at first
        else:
            place = loop.iter if isinstance(loop, BaseLoop) else 0
        seed_generators(derive_seed(runner.seed, runner.rank, moment, place))


class SeededIndex(NamedTuple):
    """What a sampler chose, and the seed of the process while it is loaded."""

    index: Any
    seed: int


class SeededItems:
    """Loads the samples of a batch, each after seeding the process that loads it.

    It stands in the dataset's ``__getitems__``, where torch's workers look for a way to load a batch.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Iterable[Any]) -> list:
        return [self._load(index) for index in indices]

    def _load(self, index: Any) -> Any:
        if isinstance(index, SeededIndex):
            seed_generators(index.seed)
            index = index.index
        return self.dataset[index]


@dataclass
class Place:
    """Where a dataloader is to begin.

    Attributes:
        seed_parts: What tells the seeds of this run and process apart.
        epoch: Pass over the data, from 0.
        first_batch: Where in the pass the next iteration begins; those after it begin at 0.
    """

    seed_parts: tuple[int | str, ...]
    epoch: int = 0
    first_batch: int = 0


class SeededBatches:
    """The batches of a batch sampler with a seed for each sample, from the place where the dataloader is to begin."""

    def __init__(self, batches: Any, place: Place) -> None:
        self.batches, self.place = batches, place

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        place, skip = self.place, self.place.first_batch
        place.first_batch = 0
        while True:
            # A sampler may draw from the global generator when it begins.
            seed_generators(derive_seed(*place.seed_parts, 'order', place.epoch))
            batches, position, skipped = iter(self.batches), 0, 0
            for batch in islice(batches, skip):
                position, skipped = position + len(batch), skipped + 1
            skip -= skipped
            if not skip:
                break
            if not skipped:
                raise ValueError('train_dataloader: has no full batch; make batch_size smaller or set drop_last=False')
            place.epoch += 1
            set_epoch(self.batches, place.epoch)
        parts = (*place.seed_parts, 'sample', place.epoch)
        for batch in batches:
            # Not strict: the batch ends, the numbers do not.
            yield [SeededIndex(index, derive_seed(*parts, number)) for index, number in zip(batch, count(position))]
            position += len(batch)


class SeededDataLoader(DataLoader):
    """A dataloader whose samples are seeded by their place in the sampler's order, and that can begin anywhere.

    Dataset, sampler and all settings are those that it was built with. Made by `seeded`.

    Attributes:
        place: Where it is to begin.
    """

    # An object of its own: if the batches referred to the loader, its workers would end only when memory is cleared up.
    place: Place

    def seek(self, epoch: int, batch: int = 0) -> None:
        """Let the next iteration begin with a batch of a pass; those before it are drawn but not loaded.

        Where the pass has fewer batches, the next iteration begins in a later pass, and ``place.epoch`` tells which.
        """
        self.place.epoch, self.place.first_batch = epoch, batch

    @property
    def _index_sampler(self) -> SeededBatches:
        return SeededBatches(super()._index_sampler, self.place)

    def __iter__(self) -> Iterator[Any]:
        # A generator: an iterator that nothing is taken from neither starts workers nor moves the sampler on.
        yield from super().__iter__()


def seeded(loader: DataLoader, seed: int) -> DataLoader:
    """Let a dataloader seed its samples; in place, with the same workers, sampler and dataset.

    Left as they are: loaders that load no batches by index (``batch_size=None``, iterable datasets), classes of
    dataloaders other than torch's own, and datasets that take no new attribute.

    Args:
        loader: As mmengine builds it.
        seed: Of the run.
    """
    if type(loader) is not DataLoader or isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return loader
    try:
        loader.dataset.__getitems__ = SeededItems(loader.dataset)
    except AttributeError:
        return loader
    loader.__class__ = SeededDataLoader
    loader.place = Place((seed, get_rank()))
    return loader


def batches_from(loader: Any, epoch: int, batch: int) -> Iterator[Any]:
    """The batches of a pass from one of them on.

    Only a `SeededDataLoader` passes over the earlier ones without loading them.
    """
    if isinstance(loader, SeededDataLoader):
        loader.seek(epoch, batch)
        return iter(loader)
    return islice(loader, batch, None)


def set_epoch(batches: Any, epoch: int) -> None:
    """Tell the sampler of a dataloader, or of a batch sampler, which pass it is, so that it shuffles anew."""
    inner = getattr(getattr(batches, 'batch_sampler', None), 'sampler', None)
    for sampler in (getattr(batches, 'sampler', None), inner):
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
            return
