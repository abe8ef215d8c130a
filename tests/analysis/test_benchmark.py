import time

import pytest
import torch

from mmext.analysis.benchmark import forward_backward, median_ms, peak_bytes, print_peaks, print_times, same_loss


def test_median_of_calls_in_turn():
    calls = []
    times = median_ms({'a': lambda: calls.append('a'), 'b': lambda: (calls.append('b'), time.sleep(0.02))}, repeats=3)
    assert calls == ['a', 'b'] * 5  # two rounds of warm-up
    assert times['b'] >= 20 > times['a'] >= 0


def test_peak_by_hand():
    mega = 250_000  # float32 values in a million bytes

    def work():
        first = torch.zeros(mega)
        second = first + 1
        del first
        third = torch.cat([second, second])
        del second
        return third

    before = torch.zeros(10 * mega)
    peak, result = peak_bytes(work)
    # Second and third live together; what was there before does not count.
    assert peak == pytest.approx(3e6, rel=0.01)
    assert len(result) == 2 * mega
    assert len(before) == 10 * mega


def test_gradients_count_when_losses_are_compared():
    inputs = torch.tensor([1.0, 1.0], requires_grad=True)
    assert same_loss(inputs.sum(), (2 * inputs).mean(), inputs)
    assert not same_loss(inputs.sum(), 2 * inputs.prod() + inputs[0] - inputs[1], inputs)
    assert not same_loss(inputs.sum(), inputs.sum() + 1, inputs)
    forward_backward(lambda: inputs.sum(), inputs)
    assert inputs.grad is None


def test_printed(capsys):
    ratio = print_times('case', {'mmseg X': 30.0, 'Ours': 10.0}, {'same': True, 'other': False}, 'Ours', 'mmseg X')
    assert ratio == 3
    print_peaks('memory', {'Ours': (100.0, 105.0)}, ['2 views', '12 views'])
    printed = capsys.readouterr().out
    assert 'agrees: same' in printed
    assert 'DIFFERS: other' in printed
    assert 'Ours is 3.00 times as fast as mmseg X' in printed
    assert '1.050' in printed
