"""Whole-model counts against torch's own counter (FLOPs = 2 x MAC), closed forms and published figures."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmext.analysis.flop_report import OWN_OPERATORS, rows_at_depth
from mmext.analysis.flops import AnalysisError, count_call, count_flops

PRODUCTS = ('conv', 'linear', 'matmul', 'mm', 'bmm', 'addmm', 'baddbmm', 'einsum', 'scaled_dot_product_attention')


class Attention(nn.Module):
    """Self-attention on (N, L, E) tokens: written out as two products, or as torch's kernel."""

    def __init__(self, width: int, heads: int, kernel: bool):
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.kernel = heads, kernel

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.kernel:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, kernel: bool):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads, kernel)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, groups=4, dilation=2, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.ConvTranspose2d(16, 6, 4, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )


def torch_macs(model: nn.Module, *inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*inputs)
    return counter.get_total_flops() // 2


def block_macs(tokens: int, width: int, hidden: int) -> int:
    """qkv, QK^T and AV, projection, two layers of the MLP, two layer norms at 5 per element."""
    linear = tokens * width * (3 * width + width + 2 * hidden)
    return linear + 2 * tokens * tokens * width + 2 * 5 * tokens * width


def test_conv_net_agrees_with_torch_counter():
    report = count_flops(conv_net(), (33, 45))
    assert sum(report.by_operator[name] for name in PRODUCTS if name in report.by_operator) == torch_macs(
        conv_net(), torch.rand(1, 3, 33, 45)
    )
    assert report.flops == 2 * report.macs
    assert report.by_operator['batch_norm'] == 2 * 8 * 17 * 23
    assert report.zero_by_convention == {'aten::relu_': 1, 'aten::max_pool2d': 1, 'aten::flatten': 1}
    assert not report.unknown


def test_attention_agrees_with_torch_counter():
    model, x = Attention(24, 3, kernel=False), torch.rand(2, 7, 24)
    assert count_call(model, (x,)).macs == torch_macs(model, x)


@pytest.mark.parametrize('kernel', [False, True])
def test_vit_block_closed_form(kernel):
    report = count_call(Block(24, 3, 40, kernel), (torch.rand(2, 11, 24),))
    assert report.macs == 2 * block_macs(11, 24, 40)
    assert not report.unknown


@pytest.mark.parametrize('weights', [False, True])
@pytest.mark.parametrize('batch_first', [False, True])
def test_torch_attention_layer_is_not_hidden_by_its_fused_path(weights, batch_first):
    layer = nn.MultiheadAttention(16, 4, batch_first=batch_first)
    x = torch.rand(2, 5, 16)
    tokens, batch = (5, 2) if batch_first else (2, 5)
    report = count_call(layer, (x, x, x), lambda layer, *qkv: layer(*qkv, need_weights=weights))
    assert report.macs == batch * (tokens * 4 * 16 * 16 + 2 * tokens * tokens * 16)
    assert not report.unknown
    assert not report.not_called


def test_torch_transformer_layer_is_not_hidden_by_its_fused_path():
    layer = nn.TransformerEncoderLayer(16, 4, dim_feedforward=40, batch_first=True)
    report = count_call(nn.TransformerEncoder(layer, 2), (torch.rand(2, 5, 16),))
    assert report.macs == 2 * 2 * block_macs(5, 16, 40)


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return x @ x if x.sum() > 0 else x


class Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x @ x

    @staticmethod
    def backward(ctx, grad):
        return grad


@pytest.mark.parametrize(
    ('function', 'name'),
    [
        (lambda x: torch.fft.rfft2(x).real, 'aten::fft_rfft2'),
        (Compiled.apply, 'prim::PythonOp.Compiled'),
        (scripted, 'prim::CallFunction.scripted'),
    ],
)
def test_operator_without_a_price_is_named(function, name):
    report = count_call(nn.Identity(), (torch.rand(4, 4),), lambda model, x: function(x) + function(x))
    assert report.unknown[name] == 2
    assert report.zero_by_convention['aten::add'] == 1
    assert report.macs == 0


def test_batch_size_is_linear():
    one, three = (count_flops(conv_net(), (33, 45), batch_size=size) for size in (1, 3))
    assert three.macs == 3 * one.macs
    assert three.params == one.params
    assert three.input_shape == (3, 3, 33, 45)


@pytest.mark.parametrize('depth', range(5))
def test_rows_add_up_to_the_total(depth):
    report = count_call(nn.Sequential(Block(24, 3, 40, True), nn.Linear(24, 5)), (torch.rand(1, 11, 24),))
    rows = rows_at_depth(report, depth)
    assert sum(row.macs for row in rows) == report.macs
    assert sum(row.params for row in rows) == report.params
    assert len({row.name for row in rows}) == len(rows)
    if depth == 3:
        assert next(row.macs for row in rows if row.name == f'0.attn {OWN_OPERATORS}') == 2 * 11 * 11 * 24


class Shared(nn.Module):
    """A head that runs twice, once past its hooks; a parameter with two owners; a layer that is left out."""

    def __init__(self):
        super().__init__()
        self.head, self.twin, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.twin.weight = self.head.weight
        self.alias = self.head
        for parameter in self.twin.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        return self.head(x) + self.head.forward(x) + self.twin(x)


def test_shared_and_direct_calls_land_in_their_module():
    report = count_call(Shared(), (torch.rand(4, 6),))
    macs = {module.name: module.macs for module in report.modules}
    assert macs == {'': 3 * 144, 'head': 2 * 144, 'twin': 144, 'unused': 0}
    assert report.params == 36 + 6 + 6 + 14
    assert report.params_trainable == 6 + 14
    assert report.not_called == ('unused',)


def test_model_comes_back_as_it_was():
    model = conv_net().train()
    model[1].eval()
    forward = model[0].__dict__['forward'] = model[0].forward
    count_flops(model, (33, 45))
    assert [module.training for module in model] == [True, False] + [True] * 7
    assert model[0].__dict__['forward'] is forward
    assert 'forward' not in model[3].__dict__
    assert not model[0]._forward_hooks
    assert torch.backends.mha.get_fastpath_enabled()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_failing_size_is_an_error_that_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(AnalysisError, match=r'Sequential failed on a 1 x 3 x 4 x 4 input .*try another --shape'):
        count_flops(model, (4, 4))
    with pytest.raises(AnalysisError, match='at least 1'):
        count_flops(model, (0, 4))
    with pytest.raises(AnalysisError, match='no `backbone`'):
        count_flops(model, (2, 2), scope='backbone')
