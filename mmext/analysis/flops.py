"""Multiply-adds, FLOPs and parameters of a model at one input size, with nothing uncounted left unnamed.

Units: one MAC is one multiply-add; FLOPs are 2 x MAC. Shapes: N images, 3 channels, H x W pixels; sizes are (H, W).

Counting is fvcore's: the model runs once under the tracer and each operator is priced from its shapes. The prices, and
what is free by convention, are in `mmext.analysis.flop_handlers`; normalisation layers do count, as in published
fvcore figures. What runs is inference:

- segmentor (mmseg): backbone, neck, decode head and the final interpolation of the logits to the input size (bilinear:
  4 MAC per output element). Auxiliary heads do not run: their parameters are in `params`, not in `params_inference`.
- detector (mmdet): mode 'tensor'; a two-stage model's second stage sees the proposals of its random weights.
- classifier (mmpretrain): mode 'tensor', up to the scores.

A compiled function called outside of `torch.autograd.Function` and of torch's dispatcher leaves no trace.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from mmext.analysis.flop_handlers import HANDLERS, ZERO_OPS, Handler
from mmext.analysis.flop_report import OWN_OPERATORS, FlopReport, ModuleCount, format_report
from mmext.analysis.model_from_config import AnalysisError, build_model, input_size, load_config, toolbox_of
from mmext.common.config_files import building

__all__ = ['AnalysisError', 'FlopReport', 'ModuleCount', 'count_call', 'count_config', 'count_flops', 'format_report']

# Parts of a model that a test need not call; a context may need the head's auxiliary classifier, though.
_TRAINING_ONLY = ('auxiliary_head', 'decode_head.auxiliary', 'distill_projections')
# Graph nodes that hide operators; all other prim:: nodes are bookkeeping of the tracer.
_OPAQUE_NODES = frozenset({'prim::PythonOp', 'prim::CallFunction', 'prim::CallMethod', 'prim::If', 'prim::Loop'})


class _Analysis(FlopCountAnalysis):
    """fvcore's analysis that also counts the calls of the operators it passes over, sorted into free and unknown."""

    def __init__(self, model: nn.Module, inputs: tuple[Tensor, ...], handlers: Mapping[str, Handler]) -> None:
        super().__init__(model, inputs)
        self.zero_ops: Counter[str] = Counter()
        self.unknown_ops: Counter[str] = Counter()
        self.set_op_handle(**HANDLERS).set_op_handle(**handlers)
        self.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings('none')

    def _should_ignore_node(self, node: Any) -> bool:
        kind = node.kind()
        if not {kind, kind.removesuffix('_')}.isdisjoint(ZERO_OPS | self._ignored_ops):
            self.zero_ops[kind] += 1
        elif kind in _OPAQUE_NODES:
            self.unknown_ops[_opaque_name(node)] += 1
        elif not kind.startswith('prim::'):
            self.unknown_ops[kind] += 1
        return True


def _opaque_name(node: Any) -> str:
    """'prim::PythonOp.RoIAlignFunction' for autograd functions, 'prim::CallFunction.name' for scripted ones."""
    if node.kind() == 'prim::PythonOp':
        return f'{node.kind()}.{node.pyname()}'
    if node.kind() == 'prim::CallFunction':
        return f'{node.kind()}.{next(node.inputs()).node().s("name")}'
    return node.kind()


class _Entry(nn.Module):
    """Gives fvcore one `forward` for every way of calling a model; returns the tensors of a nested output, flat."""

    def __init__(self, model: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(self.call(self.model, *inputs))) or inputs


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, Mapping):
        yield from _tensors(list(node.values()))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for item in node:
            yield from _tensors(item)


@contextmanager
def _traceable(entry: nn.Module) -> Iterator[None]:
    """Inference mode in which every operator shows up in the trace, under the module that ran it; undone at the end.

    Toolbox heads are often run by `head.forward(x)`, which skips the hooks that fvcore names modules by: each
    instance's forward announces itself instead. torch's fused Transformer layers are one opaque operator: off.
    """
    modes = [(module, module.training) for module in entry.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    entry.eval()
    patched = [(module, _announce(module, name)) for name, module in entry.named_modules() if name]
    try:
        with torch.no_grad():
            yield
    finally:
        for module, own_forward in patched:
            del module.__dict__['forward']
            module.__dict__.update(own_forward)
        for module, mode in modes:
            module.training = mode
        torch.backends.mha.set_fastpath_enabled(fused)


def _announce(module: nn.Module, name: str) -> dict[str, Any]:
    """Puts a forward on the instance that enters the tracer's scope `name`; returns the one that was there, if any."""
    own_forward = {'forward': module.__dict__['forward']} if 'forward' in module.__dict__ else {}
    forward = module.forward

    def scoped(*args: Any, **kwargs: Any) -> Any:
        state = torch._C._get_tracing_state()
        if state is None:
            return forward(*args, **kwargs)
        state.push_scope(name)
        try:
            return forward(*args, **kwargs)
        finally:
            state.pop_scope()

    module.__dict__['forward'] = scoped
    return own_forward


def _plain(model: nn.Module, *inputs: Tensor) -> Any:
    return model(*inputs)


def count_call(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    call: Callable[..., Any] = _plain,
    handlers: Mapping[str, Handler] | None = None,
) -> FlopReport:
    """Counts `call(model, *inputs)`; the model comes back in the state it was in.

    Args:
        model: Any module.
        inputs: Tensors of any shape.
        call: How to run the model; by default like a function.
        handlers: Operator costs for this call only, before the registered ones.
    """
    entry = _Entry(model, call)
    analysis = _Analysis(entry, inputs, handlers or {})
    with _traceable(entry):
        macs = {
            name.removeprefix('model').removeprefix('.'): int(n) for name, n in analysis.by_module().items() if name
        }
        macs[''] = int(analysis.total())  # the entry's, not the model's: `call` may run operators of its own
        operators = {name: int(n) for name, n in analysis.by_operator().most_common() if n}
    params = _params_by_module(model)
    modules = tuple(ModuleCount(name, params[name], macs[name]) for name, _ in model.named_modules())
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return FlopReport(
        input_shape=tuple(inputs[0].shape),
        macs=macs[''],
        params=params[''],
        params_trainable=trainable,
        params_inference=params['']
        - sum(params.get(name, 0) for name in _TRAINING_ONLY if f'model.{name}' in analysis.uncalled_modules()),
        by_operator=operators,
        modules=modules,
        zero_by_convention=dict(analysis.zero_ops.most_common()),
        unknown=dict(analysis.unknown_ops.most_common()),
        not_called=_not_called(model, analysis.uncalled_modules(), params),
    )


def _params_by_module(model: nn.Module) -> dict[str, int]:
    """Parameters of each module with its children; a shared parameter belongs to its first owner."""
    params = {name: 0 for name, _ in model.named_modules()}
    for name, parameter in model.named_parameters():
        owner = name.rpartition('.')[0]
        while owner:
            params[owner] += parameter.numel()
            owner = owner.rpartition('.')[0]
        params[''] += parameter.numel()
    return params


def _not_called(model: nn.Module, uncalled: set[str], params: Mapping[str, int]) -> tuple[str, ...]:
    names = {name.removeprefix('model.') for name in uncalled if name.startswith('model.')}
    found = []
    for name in params:
        parent = name.rpartition('.')[0]
        if name not in names or not params[name] or parent in names or name.startswith(_TRAINING_ONLY):
            continue
        if isinstance(model.get_submodule(parent), nn.MultiheadAttention):
            continue  # torch reads out_proj's weight and never calls it: its product is counted in the parent
        found.append(name)
    return tuple(found)


def count_flops(
    model: nn.Module,
    size_hw: tuple[int, int],
    *,
    toolbox: str | None = None,
    scope: str = 'model',
    batch_size: int = 1,
    handlers: Mapping[str, Handler] | None = None,
) -> FlopReport:
    """Counts one inference pass over `batch_size` random images.

    Args:
        model: Built model; its mode and forward methods are restored afterwards.
        size_hw: Height and width in pixels, taken literally: nothing is padded.
        toolbox: 'mmseg', 'mmdet' or 'mmpretrain' to run it as that toolbox does; None to call it on the images.
        scope: 'model', or 'backbone' for `model.backbone` alone.
        batch_size: Images in the batch.
        handlers: Operator costs for this call only.

    Raises:
        AnalysisError: If the model cannot process that size, or has no backbone to count.
    """
    if min(size_hw) < 1 or batch_size < 1:
        raise AnalysisError(f'size {tuple(size_hw)} with batch size {batch_size}: all three must be at least 1')
    if scope == 'backbone' and not hasattr(model, 'backbone'):
        raise AnalysisError(f'{type(model).__name__} has no `backbone`: count it with scope model')
    device = next((parameter.device for parameter in model.parameters()), torch.device('cpu'))
    images = torch.rand(batch_size, 3, *size_hw, generator=torch.Generator().manual_seed(0)).to(device)
    target, call = (model.backbone, _plain) if scope == 'backbone' else (model, CALLS[toolbox])
    try:
        with _proposal_counts(target) as proposals:
            report = count_call(target, (images,), call, handlers)
    except (RuntimeError, ValueError, AssertionError) as error:
        shape = ' x '.join(map(str, images.shape))
        message = f'{type(target).__name__} failed on a {shape} input ({error}); try another --shape'
        raise AnalysisError(message) from error
    notes = [f'{count} proposals reached the second stage: random weights decide how many' for count in proposals[:1]]
    if toolbox == 'mmseg' and scope == 'model':
        notes.append(f'{OWN_OPERATORS} are the final upsampling of the logits to the input size')
    return replace(report, notes=tuple(notes))


def _segment(model: nn.Module, images: Tensor) -> Any:
    size = tuple(images.shape[-2:])
    meta = {'ori_shape': size, 'img_shape': size, 'pad_shape': size, 'padding_size': [0, 0, 0, 0]}
    return model.encode_decode(images, [dict(meta) for _ in images])


def _detect(model: nn.Module, images: Tensor) -> Any:
    from mmdet.structures import DetDataSample

    size = tuple(images.shape[-2:])
    meta = dict.fromkeys(('ori_shape', 'img_shape', 'pad_shape', 'batch_input_shape'), size)
    meta['scale_factor'] = (1.0, 1.0)
    samples = [DetDataSample(metainfo={**meta, 'img_id': index}) for index in range(len(images))]
    return model(images, samples, mode='tensor')


CALLS: dict[str | None, Callable[..., Any]] = {
    None: _plain,
    'mmseg': _segment,
    'mmdet': _detect,
    'mmpretrain': lambda model, images: model(images, mode='tensor'),
}


@contextmanager
def _proposal_counts(model: nn.Module) -> Iterator[list[int]]:
    """Collects how many regions each call of a two-stage detector's box extractor gets."""
    counts: list[int] = []
    extractor = getattr(getattr(model, 'roi_head', None), 'bbox_roi_extractor', None)
    stages = extractor if isinstance(extractor, nn.ModuleList) else [extractor] if extractor is not None else []
    hooks = [
        stage.register_forward_pre_hook(lambda _, inputs: counts.append(int(inputs[1].shape[0]))) for stage in stages
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def count_config(
    path: str | Path,
    size_hw: tuple[int, int] | None = None,
    scope: str = 'model',
    options: Mapping[str, Any] | None = None,
) -> FlopReport:
    """Builds the model of a config without any weights and counts it; the size comes from the config if not given."""
    config = load_config(path, options)
    size_hw, source = (size_hw, '--shape') if size_hw else input_size(config)
    toolbox = toolbox_of(config)
    with building(path):
        model = build_model(config)
    return replace(count_flops(model, size_hw, toolbox=toolbox, scope=scope), input_source=source)
