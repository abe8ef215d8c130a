"""Settings that make a training or a test of any config end within seconds."""

from mmengine.config import Config

FEW = 2


def short_options(path: str, tool: str) -> tuple[Config, list[str]]:
    """The config, and what ``--cfg-options`` has to hold for two iterations, or an epoch on a few pictures."""
    cfg = Config.fromfile(path)
    options = {'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.interval': FEW}
    for name in ('train', 'val', 'test'):
        if not cfg.get(f'{name}_dataloader'):
            continue
        loader = f'{name}_dataloader'
        options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        if name != 'train':
            options[f'{loader}.dataset.indices'] = FEW
    if tool == 'tools/test.py' or not cfg.get('train_cfg'):
        return cfg, _written(options)
    options['train_dataloader.batch_size'] = FEW
    loop = cfg.train_cfg
    if 'max_iters' in loop:
        options |= {'train_cfg.max_iters': FEW, 'train_cfg.val_interval': FEW}
        return cfg, _written(options)
    # Whole epochs: of a few pictures.
    options |= {'train_cfg.val_interval': 1, 'default_hooks.checkpoint.interval': 1}
    options['train_dataloader.dataset.indices'] = 2 * FEW
    for index in range(len(loop.get('stages', []))):
        options |= {f'train_cfg.stages.{index}.epochs': 1, f'train_cfg.stages.{index}.batch_size': FEW}
    if 'max_epochs' in loop:
        options['train_cfg.max_epochs'] = 1
    return cfg, _written(options)


def _written(options: dict) -> list[str]:
    return [f'{name}={value}' for name, value in options.items()]


def add_cfg_options(arguments: list[str], options: list[str]) -> list[str]:
    """Arguments with more ``--cfg-options``; those that are there come first and so are overruled.

    A second ``--cfg-options`` would replace the first.
    """
    if '--cfg-options' not in arguments:
        return [*arguments, '--cfg-options', *options]
    end = arguments.index('--cfg-options') + 1
    while end < len(arguments) and not arguments[end].startswith('--'):
        end += 1
    return [*arguments[:end], *options, *arguments[end:]]
