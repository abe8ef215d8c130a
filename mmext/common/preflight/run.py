"""All looks at a training before it starts, in order; what cannot be done says why."""

import copy
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config

from mmext.common.running import check_weights, drop_pretrained

from .finding import ERROR, NOT_RUN, WARNING, Finding
from .forecast import check_forecast, peak_memory
from .gradient_flow import check_gradients
from .initial_loss import check_initial_loss
from .lint import lint
from .overfitting import Overfit, check_overfit
from .padding import check_padding
from .schedule_trace import check_schedule, epoch_length
from .subject import Subject, build_dataset, build_model, draw_batch, first_images, images_of, in_scope, losses_of

CHECKS = ('lint', 'padding', 'loss', 'overfit', 'gradients', 'schedule', 'forecast')
PLOT = 'learning_rate.png'
SLOW_S = 12.0  # a forward pass that takes longer is made with fewer images


@dataclass
class Preflight:
    """Looks over one config.

    Attributes:
        cfg: Of the training; changed where weights are missing.
        out: Folder of the plot.
        steps: Of the training on one batch, at most.
        skip: Names among `CHECKS`.
        seconds: For the training on one batch, at most.
        findings: So far.
        times: Seconds by check.
    """

    cfg: Config
    out: Path
    steps: int = 40
    skip: Collection[str] = ()
    seconds: float = 30.0
    findings: list[Finding] = field(default_factory=list)
    _length: int | None = None
    _classes: list[str] | None = None
    times: dict[str, float] = field(default_factory=dict)

    def run(self) -> list[Finding]:
        """All findings; nothing of the model, the generators or the default scope is left changed."""
        with in_scope(self.cfg):
            self._check('lint', lambda: lint(self.cfg))
            if any(finding.status == ERROR for finding in self.findings):
                return self._leave('mend the mistakes in the settings first')
            self.findings, settings = [], copy.deepcopy(self.cfg)
            subject = self._build()
            # Again, with what only the data tells.
            self._check('lint', lambda: lint(settings, self._length, self._classes))
            if subject is None:
                return self._leave('nothing to look at: see the errors above')
            self._check('padding', lambda: check_padding(subject))
            self._check('loss', lambda: check_initial_loss(subject))
            courses: list[Overfit] = []
            memory: dict[str, float] = {}
            self._check('overfit', lambda: self._overfit(subject, courses, memory))
            self._check('gradients', lambda: check_gradients(subject))
            samples, plot = len(subject.dataset), self.out / PLOT
            self._check('schedule', lambda: check_schedule(self.cfg, subject.model, samples, plot))
            self._check('forecast', lambda: check_forecast(subject, courses, memory))
        return self.findings

    def _leave(self, reason: str) -> list[Finding]:
        self.findings += [Finding(name, NOT_RUN, reason) for name in CHECKS[1:]]
        return self.findings

    def _check(self, name: str, look: Callable[[], Finding | list[Finding]]) -> None:
        if name in self.skip:
            self.findings.append(Finding(name, NOT_RUN, 'left out by --skip'))
            return
        found = self._attempt(name, look)
        if found is not None:
            self.findings += found if isinstance(found, list) else [found]

    def _attempt(self, name: str, work: Callable):
        """What the work gives; None and a finding where it fails, whatever the reason: training would fail as well."""
        begin = time.perf_counter()
        try:
            return work()
        except Exception as error:
            lines = str(error).strip().splitlines() or ['no message']
            text = f'failed: {type(error).__name__}: {lines[0][:300]}'
            self.findings.append(Finding(name, ERROR, text, 'training fails in the same way: mend this first'))
            return None
        finally:
            self.times[name] = self.times.get(name, 0.0) + time.perf_counter() - begin

    def _build(self) -> Subject | None:
        try:
            check_weights(self.cfg)
        except FileNotFoundError as error:
            fix = 'the checks below use random weights'
            self.findings.append(Finding('weights', ERROR, str(error), fix))
            drop_pretrained(self.cfg)
            self.cfg.load_from = None
        model = self._attempt('model', lambda: build_model(self.cfg))
        dataset = self._attempt('data', lambda: build_dataset(self.cfg))
        if dataset is not None:
            self._length = epoch_length(self.cfg, len(dataset))
            self._classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ()) or None
        if model is None or dataset is None:
            return None
        batch = self._attempt('data', lambda: draw_batch(self.cfg, dataset))
        if batch is None:
            return None
        subject = Subject(self.cfg, model[0], dataset, batch, model[1])
        return subject if self._attempt('model', lambda: self._shrink(subject)) else None

    def _shrink(self, subject: Subject) -> bool:
        """Take fewer images where one pass is slow: the checks need several."""
        images, few = images_of(subject.batch), 2
        for _ in range(2):  # the first pass is slower than all others
            begin, model = time.perf_counter(), copy.deepcopy(subject.model)
            with torch.no_grad():
                losses_of(model, first_images(subject.batch, few))
            expected = (time.perf_counter() - begin) * images / few
            if images <= few or expected <= SLOW_S:
                return True
        subject.batch = first_images(subject.batch, few)
        text = f'a forward pass of {images} images takes about {expected:.0f} s here: looked at with {few} of them'
        self.findings.append(Finding('data', WARNING, text, 'run it on the machine that trains'))
        return True

    def _overfit(self, subject: Subject, courses: list[Overfit], memory: dict[str, float]) -> Finding:
        with peak_memory(memory):
            finding, found = check_overfit(subject, self.steps, self.seconds)
        courses += found
        return finding
