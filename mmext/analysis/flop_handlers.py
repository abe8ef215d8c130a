"""How many multiply-adds (MAC) one traced operator costs.

A handler takes the traced inputs and outputs of one operator (``torch._C.Value``, shapes known) and returns its MACs.
fvcore's own handlers stay in force wherever the published figures rest on them:

========================================  ==========================================================
convolution, linear, (b)mm, addmm         exact product of the sizes; biases are free
batch norm (evaluation) / layer, group    2 per element / 5 per element (1 / 4 without affine weights)
upsampling nearest / bilinear             1 / 4 per output element
adaptive average pooling                  1 per input element
========================================  ==========================================================

This module adds what fvcore lacks (attention kernels, ``baddbmm``, 'same'-padded convolution, average pooling, the
other interpolations) and replaces three of its handlers by exact ones: ``matmul`` (1-D operands, a broadcast left
side), ``einsum`` (fvcore reads four digits from NumPy's printed report) and ``grid_sampler`` (always bilinear there).
The replacements agree with fvcore wherever fvcore is exact.

Operators of `ZERO_OPS`, like those on fvcore's own list, count as zero *by convention*: element-wise arithmetic,
activations, softmax, reductions, comparisons, index and shape work. Everything else is unknown and has to be named.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from fvcore.nn.jit_handles import get_shape

Handler = Callable[[Sequence[Any], Sequence[Any]], int]


def _shape(value: Any) -> list[int]:
    shape = get_shape(value)
    if shape is None:
        raise ValueError('the trace holds no shape for a tensor whose operator has to be counted')
    return list(shape)


def attention_macs(query: Sequence[int], key: Sequence[int], value: Sequence[int], output: Sequence[int]) -> int:
    """MACs of softmax(Q K^T) V: the two matrix products, the softmax in between is free.

    The full Lq x Lk matrix counts even if a causal mask hides half of it: explicit products would compute it too. Batch
    and head dimensions are those of the output, hence right for grouped queries and broadcast operands.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev).
        output: (..., Lq, Ev).
    """
    return prod(output[:-2]) * query[-2] * key[-2] * (query[-1] + value[-1])


def matmul_macs(left: Sequence[int], output: Sequence[int]) -> int:
    """MACs of ``torch.matmul``: every output element is a dot product over the last axis of the left operand."""
    return prod(output) * left[-1]


def einsum_macs(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """MACs of an einsum of two operands: the product of the sizes of all its indices.

    One operand (a transposition or a reduction) and an element-wise or outer product, which sums over nothing, are zero
    by convention. Three or more operands are contracted left to right, which is what torch does without opt_einsum.

    Args:
        equation: As given to ``torch.einsum``; an ellipsis may stand for leading dimensions.
        shapes: Shape of each operand.
    """
    terms, _, result = equation.replace(' ', '').partition('->')
    operands = [_index_sizes(term, shape) for term, shape in zip(terms.split(','), shapes, strict=True)]
    if '->' not in equation:  # implicit output: the indices that occur exactly once
        named = [index for term in terms.split(',') for index in term.replace('...', '')]
        result = ''.join(index for index in named if named.count(index) == 1)
    kept = set(result.replace('...', '')) | {
        index for operand in operands for index in operand if isinstance(index, int)
    }
    total, current = 0, operands[0]
    for position, operand in enumerate(operands[1:], start=1):
        needed = kept.union(*operands[position + 1 :])
        # an index of one side only that nothing needs later is summed away before the product
        joint = {
            index: max(current.get(index, 1), operand.get(index, 1))
            for index in current | operand
            if index in needed or (index in current and index in operand)
        }
        if joint.keys() - needed:
            total += prod(joint.values())
        current = {index: size for index, size in joint.items() if index in needed}
    return total


def _index_sizes(term: str, shape: Sequence[int]) -> dict[str | int, int]:
    """Maps each index of one einsum term to its size; dimensions of an ellipsis are numbered from the right."""
    head, dots, tail = term.partition('...')
    sizes: dict[str | int, int] = dict(zip(head, shape, strict=False))
    sizes.update(zip(tail, shape[len(shape) - len(tail) :], strict=True))
    if dots:
        hidden = shape[len(head) : len(shape) - len(tail)]
        sizes.update({-offset: size for offset, size in enumerate(reversed(hidden), start=1)})
    return sizes


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return attention_macs(*(_shape(value) for value in inputs[:3]), _shape(outputs[0]))


def _matmul(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return matmul_macs(_shape(inputs[0]), _shape(outputs[0]))


def _batched_matmul(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """baddbmm, addbmm and addmv: the first input is added, the products are of the next two."""
    return prod(_shape(inputs[1])) * (_shape(inputs[2])[-1] if len(_shape(inputs[2])) > 1 else 1)


def _einsum(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return einsum_macs(inputs[0].toIValue(), [_shape(value) for value in inputs[1].node().inputs()])


def _conv_same(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Convolution with padding='same' or 'valid': weight (Cout, Cin / groups, *kernel), output (N, Cout, *size)."""
    output = _shape(outputs[0])
    return output[0] * prod(_shape(inputs[1])) * prod(output[2:])


def _per_output(macs: int) -> Handler:
    return lambda inputs, outputs: macs * prod(_shape(outputs[0]))


def _per_input(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return prod(_shape(inputs[0]))


def _average_pool(dims: int) -> Handler:
    """One addition per element of each window, as fvcore counts the adaptive kind (equal for a global window)."""

    def macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        kernel = inputs[1].toIValue() or [value.toIValue() for value in inputs[1].node().inputs()]
        return prod(_shape(outputs[0])) * (kernel[0] ** dims if len(kernel) == 1 else prod(kernel))

    return macs


def _grid_sampler(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Taps per output element: 2 per spatial axis if linear, 1 if nearest, 4 per axis if cubic."""
    output = _shape(outputs[0])
    taps_per_axis = {0: 2, 1: 1, 2: 4}[inputs[2].toIValue()]
    return prod(output) * taps_per_axis ** (len(output) - 2)


_ATTENTION_KERNELS = ('flash_attention', 'flash_attention_for_cpu', 'efficient_attention', 'cudnn_attention')

HANDLERS: dict[str, Handler] = {
    'aten::scaled_dot_product_attention': _attention,
    'aten::_scaled_dot_product_attention_math': _attention,
    'aten::_scaled_dot_product_fused_attention_overrideable': _attention,
    **{f'aten::_scaled_dot_product_{kernel}': _attention for kernel in _ATTENTION_KERNELS},
    'aten::matmul': _matmul,
    'aten::mv': _matmul,
    'aten::dot': _matmul,
    'aten::baddbmm': _batched_matmul,
    'aten::addbmm': _batched_matmul,
    'aten::addmv': _batched_matmul,
    'aten::einsum': _einsum,
    'aten::_convolution_mode': _conv_same,
    'aten::upsample_linear1d': _per_output(2),
    'aten::upsample_bicubic2d': _per_output(16),
    'aten::upsample_trilinear3d': _per_output(8),
    **{f'aten::upsample_nearest{dims}d': _per_output(1) for dims in (1, 2, 3)},
    **{f'aten::_upsample_nearest_exact{dims}d': _per_output(1) for dims in (1, 2, 3)},
    **{f'aten::adaptive_avg_pool{dims}d': _per_input for dims in (1, 2, 3)},
    **{f'aten::avg_pool{dims}d': _average_pool(dims) for dims in (1, 2, 3)},
    'aten::grid_sampler': _grid_sampler,
    'aten::grid_sampler_2d': _grid_sampler,
    'aten::grid_sampler_3d': _grid_sampler,
}

_ZERO_NAMES = """
    abs add addcdiv addcmul clamp_max clamp_min clone cos div exp exp2 expm1 floor_divide fmod log log1p log2 maximum
    minimum mul neg pow reciprocal round rsqrt rsub sign sin sqrt square sub trunc where true_divide lerp ceil frac tan
    celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid logit mish prelu relu6 selu sigmoid silu
    softmax log_softmax softplus softsign tanh threshold erf rrelu dropout feature_dropout alpha_dropout
    all amax amin any argmax argmin cumsum linalg_vector_norm logsumexp max mean min norm prod std sum var var_mean
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_pool1d max_pool2d max_pool3d
    max_pool2d_with_indices
    __or__ __xor__ bitwise_and bitwise_or isfinite isinf isnan isnan le logical_and logical_not logical_or lt ne
    argsort bucketize diff embedding im2col col2im index_add index_copy index_fill index_select masked_scatter
    masked_select one_hot scatter scatter_add searchsorted sort take_along_dim topk tril triu unique unique_dim
    _shape_as_tensor _unique2 bernoulli rand rand_like randn randn_like randint randperm
    Bool Float FloatImplicit IntImplicit NumToTensor alias as_strided as_tensor atleast_2d broadcast_tensors
    broadcast_to channel_shuffle concat copy cpu cuda detach_ dim empty_like expand_as fill
    flip hstack item lift_fresh linspace meshgrid movedim moveaxis native_channel_shuffle new_ones new_tensor numel
    ones_like pad permute_copy pixel_shuffle pixel_unshuffle ravel reflection_pad1d reflection_pad2d repeat
    repeat_interleave replication_pad2d reshape_as rot90 scalar_tensor set_ swapaxes swapdims tensor tensor_split tile
    unflatten unfold vstack zero view_as
"""

ZERO_OPS = frozenset(f'aten::{name}' for name in _ZERO_NAMES.split())


def register_handler(op_name: str, handler: Handler) -> None:
    """Adds the cost of one more operator, for example of a compiled mmcv operator.

    Args:
        op_name: As named in the report: 'namespace::op', or 'prim::PythonOp.Name' for an autograd function `Name`.
        handler: Takes traced inputs and outputs, returns MACs.

    Raises:
        ValueError: If the operator has a handler already: two sources of one figure are an error.
    """
    if '::' not in op_name:
        raise ValueError(
            f"operator name {op_name!r} has no namespace: write 'aten::{op_name}' or 'prim::PythonOp.Name'"
        )
    if op_name in HANDLERS:
        raise ValueError(
            f'operator {op_name!r} has a handler already: pass `handlers=` to count_flops to replace it once'
        )
    HANDLERS[op_name] = handler
