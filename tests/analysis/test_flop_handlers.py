"""Costs of single operators against torch's own counter (FLOPs = 2 x MAC), closed forms and equal operators."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmext.analysis.flop_handlers import HANDLERS, attention_macs, einsum_macs, register_handler
from mmext.analysis.flops import count_call


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def macs(function, *inputs: Tensor) -> int:
    report = count_call(Apply(function), inputs)
    assert not report.unknown
    return report.macs


def torch_macs(function, *inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*inputs)
    return counter.get_total_flops() // 2


sizes = st.integers(1, 6)


@settings(max_examples=25, deadline=None)
@given(batch=sizes, heads=sizes, queries=sizes, keys=sizes, embed=sizes, values=sizes)
def test_attention_equals_its_two_products(batch, heads, queries, keys, embed, values):
    q = torch.rand(batch, heads, queries, embed)
    k = torch.rand(batch, heads, keys, embed)
    v = torch.rand(batch, heads, keys, values)
    explicit = torch_macs(lambda q, k, v: (q @ k.transpose(-1, -2)).softmax(-1) @ v, q, k, v)
    assert macs(F.scaled_dot_product_attention, q, k, v) == explicit
    assert explicit == batch * heads * queries * keys * (embed + values)


def test_attention_grouped_queries_and_broadcast_keys():
    """Eight query heads share two key heads: the products are those of eight heads."""
    assert attention_macs((1, 8, 5, 4), (1, 2, 7, 4), (1, 2, 7, 3), (1, 8, 5, 3)) == 8 * 5 * 7 * (4 + 3)
    q, k = torch.rand(3, 2, 5, 4), torch.rand(1, 2, 7, 4)
    assert macs(F.scaled_dot_product_attention, q, k, k) == 3 * 2 * 5 * 7 * 8


def test_attention_with_mask_costs_the_full_matrix():
    q = torch.rand(2, 3, 5, 4)
    full = macs(F.scaled_dot_product_attention, q, q, q)
    assert macs(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), q) == full
    assert macs(lambda q: F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(5, 5)), q) == full


@pytest.mark.parametrize(
    ('equation', 'shapes'),
    [
        ('bnd,bmd->bnm', [(2, 3, 4), (2, 5, 4)]),
        ('bhqk,bhkd->bhqd', [(2, 3, 4, 5), (2, 3, 5, 6)]),
        ('nctv,vw->nctw', [(2, 3, 4, 5), (5, 6)]),
        ('...ij,...jk->...ik', [(2, 3, 4, 5), (2, 3, 5, 6)]),
        ('ij, jk', [(3, 4), (4, 5)]),
        ('ab,bc,cd->ad', [(2, 3), (3, 4), (4, 5)]),
        ('i,j->ij', [(3,), (4,)]),
        ('bn,bn->b', [(3, 7), (3, 7)]),
    ],
)
def test_einsum_equals_torch_counter(equation, shapes):
    inputs = [torch.rand(shape) for shape in shapes]
    expected = torch_macs(lambda *inputs: torch.einsum(equation, *inputs), *inputs)
    assert macs(lambda *inputs: torch.einsum(equation, *inputs), *inputs) == expected


def test_einsum_without_a_product_is_free():
    assert einsum_macs('ij->ji', [(3, 4)]) == 0
    assert einsum_macs('i,j->ij', [(3,), (4,)]) == 0
    assert einsum_macs('ab,cd->ad', [(3, 100), (100, 4)]) == 0  # b and c are summed away, the rest is an outer product
    assert einsum_macs('abx,bc->ac', [(3, 5, 100), (5, 4)]) == 3 * 5 * 4  # x is summed away before the product


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ((4, 6), (6, 3)),
        ((5, 4, 6), (6, 3)),
        ((4, 6), (5, 6, 3)),
        ((6,), (6,)),
        ((4, 6), (6,)),
        ((2, 1, 4, 6), (5, 6, 3)),
    ],
)
def test_matmul_of_any_rank(left, right):
    a, b = torch.rand(left), torch.rand(right)
    assert macs(torch.matmul, a, b) == torch.matmul(a, b).numel() * 6


def test_batched_products():
    base, a, b = torch.rand(2, 3, 5), torch.rand(2, 3, 4), torch.rand(2, 4, 5)
    assert macs(torch.baddbmm, base, a, b) == macs(torch.bmm, a, b) == 2 * 3 * 4 * 5
    assert macs(torch.addbmm, base[0], a, b) == 2 * 3 * 4 * 5
    assert macs(torch.addmv, base[0, :, 0], a[0], b[0, :, 0]) == 3 * 4


def test_same_padding_equals_written_out_padding():
    image, weight = torch.rand(2, 4, 9, 7), torch.rand(6, 2, 3, 3)
    same = macs(lambda x, w: F.conv2d(x, w, padding='same', groups=2), image, weight)
    assert same == macs(lambda x, w: F.conv2d(x, w, padding=1, groups=2), image, weight)
    assert same == 2 * 6 * 9 * 7 * 2 * 9


@pytest.mark.parametrize(('mode', 'taps'), [('nearest', 1), ('nearest-exact', 1), ('bilinear', 4), ('bicubic', 16)])
def test_interpolation_counts_taps_per_output(mode, taps):
    assert macs(lambda x: F.interpolate(x, (10, 14), mode=mode), torch.rand(2, 3, 5, 7)) == 2 * 3 * 10 * 14 * taps


@pytest.mark.parametrize(('mode', 'taps'), [('nearest', 1), ('bilinear', 4), ('bicubic', 16)])
def test_grid_sample_counts_taps_per_output(mode, taps):
    image, grid = torch.rand(2, 3, 5, 7), torch.rand(2, 4, 6, 2)
    assert macs(lambda x, g: F.grid_sample(x, g, mode=mode, align_corners=False), image, grid) == 2 * 3 * 4 * 6 * taps


def test_average_pools_agree_where_they_do_the_same():
    image = torch.rand(2, 3, 8, 6)
    assert macs(nn.AdaptiveAvgPool2d(1), image) == macs(nn.AvgPool2d((8, 6)), image) == image.numel()
    assert macs(nn.AvgPool2d(2), image) == image.numel()
    assert macs(nn.AdaptiveAvgPool1d(1), image[0]) == image[0].numel()
    assert macs(nn.AdaptiveMaxPool2d(1), image) == 0


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def test_registered_handler_prices_an_autograd_function():
    name = 'prim::PythonOp.Doubling'
    x = torch.rand(3, 4)
    unpriced = count_call(Apply(Doubling.apply), (x,))
    assert (unpriced.macs, unpriced.unknown) == (0, {name: 1})
    register_handler(name, lambda inputs, outputs: 12)
    try:
        assert macs(Doubling.apply, x) == 12
        with pytest.raises(ValueError, match='has a handler already'):
            register_handler(name, lambda inputs, outputs: 0)
    finally:
        del HANDLERS[name]


def test_handler_for_one_call_comes_first():
    x = torch.rand(3, 4)
    report = count_call(Apply(torch.sin), (x,), handlers={'aten::sin': lambda inputs, outputs: 7})
    assert report.macs == 7
    assert macs(torch.sin, x) == 0


def test_handler_name_needs_a_namespace():
    with pytest.raises(ValueError, match='aten::sin'):
        register_handler('sin', lambda inputs, outputs: 0)
