"""Trains a copy of the model on one batch alone: a model that cannot learn that by heart will learn nothing."""

import copy
import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .finding import ERROR, NOT_RUN, PASS, WARNING, Finding
from .subject import Subject, losses_of, without_augmentation

ENOUGH, LITTLE = 0.5, 0.85  # of the first loss
RATES = (1e-3, 1e-4)


@dataclass
class Overfit:
    """The course of the loss.

    Attributes:
        rate: Learning rate of Adam.
        losses: Before each step.
        seconds: Of each step.
        out_of_time: Whether it was cut off before its last step.
    """

    rate: float
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    out_of_time: bool = False

    @property
    def share(self) -> float:
        """Least loss as a share of the first; NaN or Inf if it diverged."""
        if not all(math.isfinite(loss) for loss in self.losses):
            return math.nan
        return min(self.losses) / self.losses[0] if self.losses and self.losses[0] else math.nan


def overfit(model: nn.Module, batch: Any, steps: int, rate: float, seconds: float) -> Overfit:
    """Train a copy on one batch until its loss is half of the first, or steps or time are over.

    Adam with clipped gradients learns most networks by heart at one of two rates, whatever the recipe; the recipe's own
    rate may be too small for a few steps. The model is not changed.
    """
    model = copy.deepcopy(model)
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    course, start = Overfit(rate), time.perf_counter()
    with without_augmentation(model):
        for _ in range(steps + 1):
            begin = time.perf_counter()
            loss, _ = losses_of(model, batch)
            course.losses.append(float(loss.detach()))
            if not math.isfinite(course.losses[-1]) or course.share <= ENOUGH or len(course.losses) > steps:
                break
            if time.perf_counter() - start > seconds:
                course.out_of_time = True
                break
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            course.seconds.append(time.perf_counter() - begin)
    return course


def check_overfit(subject: Subject, steps: int, seconds: float) -> tuple[Finding, list[Overfit]]:
    """Whether the loss of one batch falls to half within the steps, at the first or the second rate.

    Args:
        subject: Its model is not changed.
        steps: At most, for each rate.
        seconds: At most, for both rates.
    """
    courses = []
    for rate in RATES:
        course = overfit(
            subject.model, subject.batch, steps, rate, seconds - sum(sum(each.seconds) for each in courses)
        )
        courses.append(course)
        if course.share <= ENOUGH or (course.out_of_time and not math.isnan(course.share)):
            break
    best = min(courses, key=lambda course: math.inf if math.isnan(course.share) else course.share)
    values = {'rate': best.rate, 'losses': best.losses}
    text = (
        f'{best.losses[0]:.4g} -> {min(best.losses):.4g} in {len(best.losses) - 1} steps on one batch '
        f'(Adam {best.rate:g}, no augmentation, no dropout)'
    )
    if best.share <= ENOUGH:
        return Finding('overfit', PASS, text, '', values), courses
    if math.isnan(best.share):
        text = f'the loss is not finite within {len(best.losses)} steps at any of the rates {RATES}'
        fix = 'look at the gradients below, at the input range and at the initialisation'
        return Finding('overfit', ERROR, text, fix, values), courses
    if best.out_of_time:
        text = f'{text}; cut off after {seconds:.0f} s'
        if best.share <= LITTLE:
            return Finding('overfit', PASS, f'{text}, it falls', '', values), courses
        fix = 'try on a GPU, or with a smaller batch'
        return Finding('overfit', NOT_RUN, f'{text}: too slow here to tell', fix, values), courses
    if best.share <= LITTLE:
        text = f'{text}: it falls, but not to half'
        return Finding('overfit', WARNING, text, 'try more --steps; else look at labels and loss', values), courses
    fix = 'do image and label belong together? is the loss named loss_...? does anything learn (gradients)?'
    return Finding('overfit', ERROR, f'{text}: it does not fall', fix, values), courses
