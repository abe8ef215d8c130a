"""What two processes that torchrun has started do, one run after the other; each writes down what came of them."""

import errno
import json
import sys
import time
from pathlib import Path
from unittest import mock

import torch
from conftest import DurableRunner, SignalHook, _settings
from torch.utils.data import Subset

from mmext.common import checkpoint_files
from mmext.common.hooks.stop_signal_hook import StopSignalHook

WRAPPER = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)


def run(folder: Path, *hooks: SignalHook, **others) -> dict:
    settings = _settings(folder, by_epoch=False, custom_hooks=list(hooks), **others)
    runner = DurableRunner(launcher='pytorch', cfg=dict(model_wrapper_cfg=WRAPPER), **settings)
    end = None
    try:
        runner.train()
    except SystemExit as exit_:
        end = exit_.code
    except OSError as error:
        end = f'{type(error).__name__}: {error}'
    return dict(end=end, iter=runner.iter, files=sorted(path.name for path in folder.glob('*.pth*')))


def uneven_validation(folder: Path) -> dict:
    """Five samples: three batches of one in the first process, two in the second."""
    loader = _settings(folder)['val_dataloader']
    sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
    return dict(loader, batch_size=1, sampler=sampler, dataset=Subset(loader['dataset'], range(5)))


def cost_of_agreeing() -> float:
    """Milliseconds a step."""
    hook = StopSignalHook()
    hook._group = torch.distributed.new_group(backend='gloo')
    begin = time.perf_counter()
    for _ in range(200):
        hook._agree()
    return (time.perf_counter() - begin) * 5


def main(folder: Path) -> None:
    torch.distributed.init_process_group('gloo')  # mmengine itself would select a GPU
    rank = torch.distributed.get_rank()
    rare = dict(checkpoint=dict(interval=100))
    found = dict(
        step=run(folder / 'step', SignalHook('train', 5, rank=1, group=False), **rare),
        validation=run(folder / 'validation', SignalHook('val', 1, rank=0, group=False), **rare),
        uneven=run(folder / 'uneven', val_dataloader=uneven_validation(folder)),
    )
    if rank == 0:
        full = mock.patch.object(checkpoint_files, 'file_digest', side_effect=OSError(errno.ENOSPC, 'no space left'))
    else:
        full = mock.MagicMock()
    with full:
        found['full'] = run(folder / 'full')
    found['agreeing_ms'] = cost_of_agreeing()
    (folder / f'{rank}.json').write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
