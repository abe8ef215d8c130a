"""What stands against a training from the weights that were found."""

from collections.abc import Mapping, Sequence

from .parts import NOT_LOADED, FileProof, FileUse, ModuleProof, listed, percent
from .proof import InitialisationProof


def problems(
    proof: InitialisationProof, min_loaded: float | Mapping[str, float] | None, allow_frozen_random: Sequence[str] = ()
) -> list[str]:
    """What stands against a training from these weights, one sentence each, with the fix.

    Args:
        proof: Of the model.
        min_loaded: Least share of the parameters' values that must be loaded, from 0 to 1: by module, or of the whole
            model; None asks for nothing.
        allow_frozen_random: Modules that may be random and frozen.

    Raises:
        ValueError: A module in `min_loaded` does not exist.
    """
    found = [_idle(proof, file, use) for file in proof.files for use in file.uses if use.idle]
    wanted = min_loaded if isinstance(min_loaded, Mapping) else {'': min_loaded}
    for name, least in wanted.items():
        if least is not None and (module := proof.module(name)).share < least:
            found.append(_shortfall(module, least))
    if still := proof.frozen_random(allow_frozen_random):
        names = [tensor.name for tensor in still]
        found.append(
            f'random and frozen: {listed(names)}: not loaded, and training leaves them as they are. Fix: load them, '
            f'train them (frozen_stages=-1, norm_eval=False, no freeze), or name the modules in allow_frozen_random'
        )
    return found


def _shortfall(module: ModuleProof, least: float) -> str:
    bad = [tensor for tensor in module.tensors if tensor.status != 'loaded']
    reasons = '; '.join(
        f'{status} ({NOT_LOADED[status]}): {listed([tensor.name for tensor in bad if tensor.status == status])}'
        for status in module.not_loaded
    )
    errors = {tensor.file.error for tensor in bad if tensor.status == 'unproven'}
    return (
        f'{module.name or "the model"}: {percent(module.share)} of the parameters are loaded, min_loaded asks for '
        f'{least:.1%}: {reasons}{"".join(f"; {error}" for error in errors)}. Fix: name the file and prefix that fit '
        f'the module, or lower min_loaded'
    )


def _idle(proof: InitialisationProof, file: FileProof, use: FileUse) -> str:
    tensors = proof.module(use.module).tensors
    start = len(use.module) + 1 if use.module else 0
    ends = [f'.{tensor.name[start:]}' for tensor in tensors]
    prefix = next((name.removesuffix(end[1:]) for end in ends for name in file.names if name.endswith(end)), None)
    hint = f'prefix={prefix!r}' if prefix else 'give a file of this architecture, or remove it'
    return (
        f'{file.address}: nothing of it was loaded into {use.module or "the model"} ({use.origin}'
        f'{f", prefix {use.prefix!r}" if use.prefix else ""}); it holds {listed(file.names)}, the model '
        f'{listed([tensor.name[start:] for tensor in tensors])}. Fix: {hint}'
    )
