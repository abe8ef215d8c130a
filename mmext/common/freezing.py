"""Holds parts of a model still while the rest is trained."""

from collections.abc import Sequence
from difflib import get_close_matches

from torch import nn


def find_parts(model: nn.Module, names: Sequence[str]) -> tuple[list[nn.Module], list[nn.Parameter]]:
    """Modules and parameters below the given names.

    Args:
        model: Not wrapped for distributed training.
        names: Of modules, as in ``model.named_modules()``, or of single parameters: ``'backbone'``,
            ``'backbone.layer1'`` (without ``layer10``), ``'backbone.pos_embed'``.

    Returns:
        The named modules, and all parameters of theirs and by name, each once.

    Raises:
        ValueError: No module or parameter has that name; names similar ones.
    """
    named_modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    named_parameters = dict(model.named_parameters(remove_duplicate=False))
    modules, parameters = [], []
    for name in names:
        if name in named_modules:
            modules.append(named_modules[name])
            parameters += named_modules[name].parameters()
        elif name in named_parameters:
            parameters.append(named_parameters[name])
        else:
            top = [child for child, _ in model.named_children()]
            similar = get_close_matches(name, [*named_modules, *named_parameters], n=3) or top
            kind = type(model).__name__
            raise ValueError(f'{name!r}: {kind} has no module of that name; did you mean {", ".join(similar)}?')
    return modules, list({id(parameter): parameter for parameter in parameters}.values())


class Freezer:
    """Freezes parts of one model, and others later.

    A frozen parameter gets no gradient, so that no optimiser moves it, whatever its weight decay or momentum. A frozen
    module is in evaluation mode: the statistics of batch norm stand still, and dropout is off. Parameters that the
    model itself froze, when it was built or in its ``train()``, are never made trainable. A parameter that a frozen
    and a free module share is frozen.

    Args:
        model: Not wrapped for distributed training. It is put into training mode, in which models freeze themselves.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        model.train()
        self.trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._modules: list[nn.Module] = []
        self._parameters: list[nn.Parameter] = []

    def freeze(self, names: Sequence[str]) -> None:
        """Freeze what is below these names, and nothing else; an empty list thaws all.

        Raises:
            ValueError: As `find_parts`, or nothing is left to train.
        """
        modules, parameters = find_parts(self.model, names)
        frozen = {id(parameter) for parameter in parameters}
        held = {id(parameter) for parameter in self._parameters}
        # What stands still and is not held here, the model has frozen since: when it set its initial weights, say.
        self.trainable = [p for p in self.trainable if p.requires_grad or id(p) in held]
        if all(id(parameter) in frozen for parameter in self.trainable):
            raise ValueError(f'{list(names)}: no trainable parameter of {type(self.model).__name__} is left')
        self.model.train()
        self._modules, self._parameters = modules, parameters
        for parameter in self.trainable:
            parameter.requires_grad_(id(parameter) not in frozen)
        for parameter in parameters:
            parameter.grad = None  # one that is left would be applied by the next step
        self.hold()

    def hold(self) -> None:
        """Freeze again what a ``train()`` of the model has stirred; cheap enough for every iteration."""
        for module in self._modules:
            if any(part.training for part in module.modules()):
                module.eval()
        for parameter in self._parameters:
            if parameter.requires_grad:
                parameter.requires_grad_(False)

    def count(self) -> tuple[int, int]:
        """Number of values in parameters that are trained, and in all others."""
        trained = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        return trained, sum(parameter.numel() for parameter in self.model.parameters()) - trained
