"""The validation loss, from the very logits that are scored."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import HOOKS, MODELS
from torch import Tensor, nn

KEY = 'val/loss'


@HOOKS.register_module()
class ValLossHook(Hook):
    """Logs ``val/loss`` beside the scores of a validation, without a second forward pass.

    For each image it takes the loss of the main decode head - its own loss modules, with their class weights, factors,
    mining and ignore index - on the logits that were scored, that is at the size of the ground truth, with windows
    (``mode='slide'``) already merged. The images are averaged, each with the same weight; images without a labelled
    pixel and images that a sampler repeats for an even number do not count. The value stands in the log, the JSON
    scalars and TensorBoard as ``val/loss`` and is fit for ``save_best='val/loss'``.

    It is no re-run of the training loss: auxiliary heads are not part of it (their logits do not exist in a
    validation), a loss that mines or averages over a batch does so over one image, and training sees crops.

    A segmentor needs nothing but a ``decode_head``; works beside any metric. Where the head's loss is not a function
    of the scored logits and the labels (several outputs with a loss each, queries, points), or where there is one
    sigmoid channel, the hook says so once and logs nothing; name the ``loss`` to use there.

    Args:
        loss: Config of a loss ``(logits (1, C, H, W), labels (1, H, W), weight=..., ignore_index=...)`` to use in
            place of the head's own.

    Raises:
        ValueError: the ground truth has another size than the logits.
    """

    # Before mmengine's RuntimeInfoHook, which hands what is in the metrics to the logs.
    priority = 'HIGHEST'

    def __init__(self, loss: dict | None = None) -> None:
        self.loss = MODELS.build(loss) if loss else None
        self._head: nn.Module | None = None
        self._told = False
        self._restart()

    def _restart(self) -> None:
        self._sum, self._images, self._seen = 0.0, 0, 0

    def before_val_epoch(self, runner) -> None:
        self._restart()
        # mmengine's log would show the mean of the last ten validations, as it does for everything called loss.
        runner.message_hub.log_scalars.pop(f'val/{KEY}', None)
        self._head, reason = scoring_head(runner.model, self.loss)
        if reason and not self._told:
            self._told = True
            print_log(f'no {KEY}: {reason}', 'current', logging.WARNING)
        if self.loss is not None:
            self.loss.to(next(runner.model.parameters()).device).eval()

    @torch.no_grad()
    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        if self._head is None:
            return
        rank, processes = get_dist_info()
        size = len(runner.val_dataloader.dataset)
        for sample in outputs or ():
            repeated = self._seen * processes + rank >= size
            self._seen += 1
            if repeated or 'gt_sem_seg' not in sample or 'seg_logits' not in sample:
                continue
            logits, labels = sample.seg_logits.data, sample.gt_sem_seg.data.to(sample.seg_logits.data.device)
            if logits.shape[-2:] != labels.shape[-2:]:
                raise ValueError(
                    f'{sample.get("img_path")}: logits of {tuple(logits.shape[-2:])} pixels, ground truth of '
                    f'{tuple(labels.shape[-2:])}; put LoadAnnotations behind Resize in the test pipeline'
                )
            loss = logits_loss(self._head, logits, labels, self.loss)
            if loss is not None:
                self._sum += float(loss)
                self._images += 1

    def after_val_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        if self._head is None:
            return
        summed = torch.tensor([self._sum, self._images], dtype=torch.float64)
        all_reduce(summed)
        total, images = summed.tolist()
        if metrics is not None and images:
            metrics[KEY] = total / images


def scoring_head(model: nn.Module, loss: nn.Module | None = None) -> tuple[nn.Module | None, str]:
    """The head whose logits are scored, or None and why its loss cannot be taken from them.

    Args:
        model: A segmentor, wrapped for a distributed run or not.
        loss: What will stand in for the head's own loss.
    """
    if is_model_wrapper(model):
        model = model.module
    head = getattr(model, 'decode_head', None)
    # Of a cascade the last stage gives the prediction.
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    name, fix = type(head).__name__, "name one: ValLossHook(loss=dict(type='CrossEntropyLoss'))"
    if isinstance(model, BaseTTAModel) or head is None:
        return None, f'{type(model).__name__} has no decode_head whose logits are scored'
    if getattr(head, 'out_channels', None) == 1:
        return None, f'{name} has one sigmoid channel, of which a validation keeps probabilities and no logits'
    if loss is not None:
        return head, ''
    modules = getattr(head, 'loss_decode', None)
    if modules is None:
        return None, f'{name} has no loss on logits; {fix}'
    own_way = getattr(type(head), 'loss_by_feat', None) is not BaseDecodeHead.loss_by_feat
    if own_way and isinstance(modules, nn.ModuleList):
        return None, f'{name} has several losses, not all of them for the logits that are scored; {fix}'
    return head, ''


def logits_loss(head: nn.Module, logits: Tensor, labels: Tensor, loss: nn.Module | None = None) -> Tensor | None:
    """Sum of the head's losses on one image, scalar; None where no pixel is labelled.

    As upstream's ``BaseDecodeHead.loss_by_feat`` without its accuracy, which takes longer than most losses.

    Args:
        head: A decode head; ``loss_decode``, ``ignore_index`` and ``sampler`` are used.
        logits: (C, H, W).
        labels: (1, H, W), class indices or the ignore index.
        loss: Takes the place of ``head.loss_decode``.
    """
    ignore_index = getattr(head, 'ignore_index', 255)
    if not (labels != ignore_index).any():
        return None
    # Half precision is for the network; torch has no half-precision losses on every device.
    logits, labels = logits[None].float(), labels.long()
    sampler = getattr(head, 'sampler', None) if loss is None else None
    weight = sampler.sample(logits, labels[None]) if sampler is not None else None
    modules = head.loss_decode if loss is None else loss
    modules = modules if isinstance(modules, nn.ModuleList) else [modules]
    # Upstream trains on what has 'loss' in its name, and only logs the rest.
    terms = [
        module(logits, labels, weight=weight, ignore_index=ignore_index)
        for module in modules
        if 'loss' in getattr(module, 'loss_name', 'loss')
    ]
    return torch.stack([term.reshape(()) for term in terms]).sum()
