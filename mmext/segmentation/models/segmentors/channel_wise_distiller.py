"""A segmentor that learns from its labels and from a frozen teacher (arXiv:2011.13256).

Shapes: B images, C channels, H x W positions of a layer's output (B, C, H, W); layers are named by their path in the
model, such as 'decode_head.conv_seg', whose output are the logits.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmext.common.running import check_teacher

from ..losses.class_balanced_loss import class_balanced_cross_entropy
from .teacher import check_preprocessing, frozen_teacher, model_settings

LOGITS = 'decode_head.conv_seg'


@dataclass(frozen=True)
class LayerPair:
    """Which layer of the student is drawn to which of the teacher.

    Attributes:
        student_layer: Path of a module of the student.
        teacher_layer: Path of a module of the teacher.
        loss: Settings of the loss, called with (student, teacher).
        student_channels: Channels of the student's layer, if they differ: a 1x1 convolution then widens it.
        teacher_channels: Channels of the teacher's layer, if they differ.
    """

    student_layer: str = LOGITS
    teacher_layer: str = LOGITS
    loss: Mapping[str, Any] = field(default_factory=lambda: dict(type='ChannelWiseDivergence', tau=1, loss_weight=5))
    student_channels: int | None = None
    teacher_channels: int | None = None

    def projection(self) -> nn.Module:
        """The learnt 1x1 convolution from the student's to the teacher's channels, or nothing."""
        channels = (self.student_channels, self.teacher_channels)
        if channels == (None, None):
            return nn.Identity()
        if None in channels:
            raise ValueError(
                f'distill: student_channels, teacher_channels = {channels} of {self.student_layer!r}: give both'
            )
        return nn.Conv2d(*channels, kernel_size=1, bias=False)


def check_layer(model: nn.Module, name: str, owner: str) -> None:
    """Raise `ValueError` with the nearest match for a path that is no module of the model."""
    names = [path for path, _ in model.named_modules() if path]
    if name not in names:
        nearest = get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise ValueError(f'distill: {owner}_layer {name!r} is no module of the {owner}; did you mean {nearest!r}?')


@contextmanager
def outputs_of(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collects what the named modules return while the block runs; of several calls the last."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str):
        return lambda module, inputs, output: outputs.__setitem__(name, output)

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def feature_map(outputs: Mapping[str, Any], name: str, owner: str) -> Tensor:
    """The collected output of one layer.

    Raises:
        ValueError: the layer did not run, or returns something else than one map.
    """
    output = outputs.get(name)
    if isinstance(output, Tensor) and output.ndim == 4:
        return output
    found = 'was not called in a training step' if name not in outputs else f'returns a {type(output).__name__}'
    raise ValueError(
        f'distill: {owner}_layer {name!r} {found}; choose a module that returns one (B, C, H, W) map, '
        f'such as {LOGITS!r}'
    )


@MODELS.register_module()
class ChannelWiseDistiller(EncoderDecoder):
    """An `EncoderDecoder`, the student, whose training loss also draws its layers to those of a frozen teacher.

    It *is* the student: modules and parameters have the same names, so its checkpoints load in the student's own
    config, and predictions and FLOPs are the student's. The teacher is no submodule. It is built when a training
    starts (`init_weights`), follows the model to another device or type, always stays in evaluation mode, has no
    gradients, and is in no checkpoint: resuming reads it again from ``teacher_checkpoint``. A test or a FLOP count
    needs neither its config nor its weights. In evaluation mode `loss` is the student's own.

    A pair of different channels gets a learnt 1x1 convolution behind the student's layer. These are saved as
    ``distill_projections.*``, so that a training can be resumed; whoever loads such a checkpoint into the plain
    student sees them reported as unexpected (mmengine's loading is not strict). Pairs of logits have none, and their
    checkpoints load strictly. Maps of different sizes are compared at the student's: the teacher's is resized.

    The log shows ``student.ce`` and ``teacher.ce``, the plain cross entropy of both on the same pixels, none of them
    learnt from. If the teacher's is the higher one on average over an interval, a warning says so once: distilling
    from a worse teacher makes the student worse.

    Args:
        student: Settings of an `EncoderDecoder`, or path of a config whose `model` it is.
        teacher: The same of the teacher, an `EncoderDecoder` or a subclass of it.
        teacher_checkpoint: File of the trained teacher's weights, all of them; None asks for random ones (tests).
        distill: Settings of `LayerPair`s; by default the logits with ``ChannelWiseDivergence``, tau 1, weight 5.
        compare_interval: Iterations over which student and teacher are compared.
        data_preprocessor: Of both; by default the student's.

    Raises:
        ValueError: the student is no plain EncoderDecoder, a layer does not exist or returns no map, the checkpoint
            does not fit, the teacher was trained with another normalisation.
        FileNotFoundError: a config is missing; when training starts, the teacher's checkpoint is.
    """

    def __init__(
        self,
        student: str | Mapping[str, Any],
        teacher: str | Mapping[str, Any],
        teacher_checkpoint: str | None,
        distill: Sequence[Mapping[str, Any]] | None = None,
        compare_interval: int = 500,
        data_preprocessor: Mapping[str, Any] | None = None,
    ) -> None:
        settings = model_settings(student)
        kind = settings.pop('type', None)
        if kind != 'EncoderDecoder':
            raise ValueError(f'student: its type is {kind!r}; only a plain EncoderDecoder can be distilled into')
        preprocessing = settings.pop('data_preprocessor', None)
        self._preprocessing = data_preprocessor or preprocessing
        super().__init__(**settings, data_preprocessor=self._preprocessing)
        pairs = [LayerPair(**pair) for pair in distill or ({},)]
        for pair in pairs:
            check_layer(self, pair.student_layer, 'student')
        self.pairs = pairs
        self.distill_losses = nn.ModuleList([MODELS.build(dict(pair.loss)) for pair in pairs])
        self.distill_projections = nn.ModuleList([pair.projection() for pair in pairs])
        self.teacher_source = teacher
        self.teacher_checkpoint = teacher_checkpoint
        self.compare_interval = compare_interval
        self._teachers: list[nn.Module] = []  # in a list, so that it is no submodule
        self._lead_of_student: list[Tensor] = []
        self._warned = False

    @property
    def teacher(self) -> nn.Module:
        """The frozen teacher, built and loaded when first asked for."""
        if not self._teachers:
            if self.teacher_checkpoint and '://' not in self.teacher_checkpoint:
                check_teacher(self.teacher_checkpoint, self.teacher_source)
            settings = model_settings(self.teacher_source)
            check_preprocessing(self._preprocessing, settings.get('data_preprocessor'))
            teacher = frozen_teacher(settings, self.teacher_checkpoint)
            for pair in self.pairs:
                check_layer(teacher, pair.teacher_layer, 'teacher')
            like = next(self.parameters())
            self._teachers.append(teacher.to(device=like.device, dtype=like.dtype))
        return self._teachers[0]

    def init_weights(self) -> None:
        """Initialises the student; the teacher is read first, so that a missing one is known before anything else."""
        self.teacher  # noqa: B018
        super().init_weights()

    def _apply(self, fn, *args, **kwargs):
        """What `.to()`, `.cuda()`, `.half()` and the like call: the teacher comes along."""
        for teacher in self._teachers:
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """The student's losses, the distillation losses ``distill.*`` and, for the log, both cross entropies.

        Args:
            inputs: (B, 3, H, W), normalised.
            data_samples: B samples with `gt_sem_seg`.
        """
        if not self.training:
            return super().loss(inputs, data_samples)
        teacher = self.teacher
        with torch.no_grad(), outputs_of(teacher, self._layers('teacher', teacher)) as taught:
            teacher.decode_head(teacher.extract_feat(inputs))
        with outputs_of(self, self._layers('student', self)) as learnt:
            losses = super().loss(inputs, data_samples)
        losses.update(self._distillation(learnt, taught))
        if LOGITS in learnt and LOGITS in taught:
            losses.update(self._comparison(learnt[LOGITS], taught[LOGITS], data_samples))
        return losses

    def _layers(self, owner: str, model: nn.Module) -> set[str]:
        """The layers to listen to: those of the pairs and, where it exists, the one that makes the logits."""
        named = {getattr(pair, f'{owner}_layer') for pair in self.pairs}
        return named | ({LOGITS} & {name for name, _ in model.named_modules()})

    def _distillation(self, learnt: Mapping[str, Tensor], taught: Mapping[str, Tensor]) -> dict[str, Tensor]:
        losses = {}
        for index, pair in enumerate(self.pairs):
            ours = self.distill_projections[index](feature_map(learnt, pair.student_layer, 'student'))
            theirs = feature_map(taught, pair.teacher_layer, 'teacher')
            if theirs.shape[2:] != ours.shape[2:]:
                theirs = F.interpolate(theirs.float(), ours.shape[2:], mode='bilinear', align_corners=False)
            if theirs.shape != ours.shape:
                raise ValueError(
                    f'distill: {pair.student_layer!r} of the student has {ours.shape[1]} channels, that of the '
                    f'teacher ({pair.teacher_layer!r}) {theirs.shape[1]}; give student_channels and teacher_channels'
                )
            loss = self.distill_losses[index]
            number = f'_{index}' if len(self.pairs) > 1 else ''
            losses[f'distill{number}.{loss.loss_name}'] = loss(ours, theirs)
        return losses

    @torch.no_grad()
    def _comparison(self, ours: Tensor, theirs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Cross entropies under names without 'loss', which mmengine would add to the total."""
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
        entropies = []
        for logits in (ours, theirs):
            logits = F.interpolate(logits.float(), labels.shape[1:], mode='bilinear', align_corners=self.align_corners)
            entropies.append(class_balanced_cross_entropy(logits, labels, None, self.decode_head.ignore_index))
        student, teacher = entropies
        self._lead_of_student.append(teacher - student)
        if len(self._lead_of_student) >= self.compare_interval:
            self._warn_if_behind(float(torch.stack(self._lead_of_student).mean()))
            self._lead_of_student.clear()
        return {'student.ce': student, 'teacher.ce': teacher}

    def _warn_if_behind(self, lead: float) -> None:
        if lead > 0 and not self._warned:
            self._warned = True
            print_log(
                f'the teacher is behind: its cross entropy was {lead:.4f} above that of the student, mean of '
                f'{self.compare_interval} iterations. A worse teacher makes the student worse: check '
                f'teacher_checkpoint={self.teacher_checkpoint}, or stop here and train without it.',
                logger='current',
                level=logging.WARNING,
            )
