"""Reads a config for mistakes; builds nothing and opens no data."""

from collections.abc import Callable, Iterator

from mmengine.config import Config

from . import lint_model, lint_schedule
from .finding import PASS, Finding

RULES: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    lint_model.sync_bn,
    lint_model.loss_name,
    lint_model.class_weight,
    lint_model.min_kept,
    lint_model.frozen_random,
    lint_schedule.learning_rate,
    lint_schedule.validation,
    lint_schedule.save_best,
    lint_schedule.file_name,
)


def lint(cfg: Config, epoch_length: int | None = None, classes: list[str] | None = None) -> list[Finding]:
    """All mistakes that the settings show.

    Args:
        cfg: Of ``Config.fromfile``, with the imports that it asks for done.
        epoch_length: Iterations an epoch, if known.
        classes: Of the training data, if known.
    """
    found = [finding for rule in RULES for finding in rule(cfg)]
    found += lint_model.num_classes(cfg, classes)
    found += lint_schedule.schedulers(cfg, epoch_length)
    if not found:
        found.append(Finding('lint', PASS, f'{len(RULES) + 2} rules, none broken'))
    return found
