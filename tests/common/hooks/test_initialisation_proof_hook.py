"""The proof of the initial weights in trainings by mmengine's Runner."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel, BaseModule, MMDistributedDataParallel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmext.common.hooks import InitialisationProofHook


class Backbone(BaseModule):
    """Its batch norm is in evaluation mode only once `train` was called, as with ``norm_eval``."""

    def __init__(self, init_cfg=None, norm_eval: bool = False) -> None:
        super().__init__(init_cfg)
        self.conv, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.norm_eval = norm_eval

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.norm_eval:
            self.norm.eval()
        return self


class Net(BaseModel):
    def __init__(self, init_cfg=None, norm_eval: bool = False) -> None:
        super().__init__()
        self.backbone = Backbone(init_cfg, norm_eval)
        self.head = nn.Linear(3, 2)

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> dict[str, Tensor]:
        return dict(loss=self.head(self.backbone.norm(self.backbone.conv(inputs))).square().mean())


class Rows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.full((4,), float(index)))


def run(work_dir: Path, model: nn.Module, epochs: int = 1, hook: dict | None = None, **settings) -> dict:
    """Trains and gives what the hook stored."""
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(Rows(), batch_size=2, collate_fn=torch.utils.data.default_collate),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        custom_hooks=[dict(type='InitialisationProofHook') | (hook or {})],
        experiment_name=f'{work_dir.name}-{id(model)}',
        **settings,
    )
    try:
        runner.train()
    finally:
        stored = Path(runner.log_dir) / 'initialisation.json'
        content = json.loads(stored.read_text()) if stored.is_file() else {}
        run.last = content
    return content


@pytest.fixture
def checkpoint(tmp_path) -> str:
    """Of a trained backbone."""
    torch.manual_seed(1)
    state = {name: torch.rand(value.shape) for name, value in Backbone().state_dict().items() if value.ndim}
    torch.save(state, tmp_path / 'backbone.pth')
    return str(tmp_path / 'backbone.pth')


def pretrained(checkpoint: str, **settings) -> dict:
    return dict(type='Pretrained', checkpoint=checkpoint, **settings)


def test_built_by_the_registry():
    assert isinstance(HOOKS.build(dict(type='InitialisationProofHook', min_loaded=0.5)), InitialisationProofHook)


def test_a_pretrained_backbone(tmp_path, checkpoint):
    content = run(tmp_path / 'a', Net(pretrained(checkpoint)), hook=dict(min_loaded=dict(backbone=1)))
    modules = {module['name']: module for module in content['modules']}
    assert modules['backbone']['share_loaded'] == 1
    assert modules['head']['share_loaded'] == 0
    assert content['files'][0]['address'] == checkpoint
    assert content['problems'] == []
    (log,) = (tmp_path / 'a').glob('*/*.log')
    assert 'Initial weights' in log.read_text()
    assert content['files'][0]['sha256'] in log.read_text()


def test_nothing_pretrained(tmp_path):
    content = run(tmp_path / 'a', Net())
    assert content['total']['parameters_loaded'] == 0
    assert content['files'] == []


def test_too_little_stops_before_the_first_step(tmp_path, checkpoint):
    model = Net(pretrained(checkpoint))
    with pytest.raises(ValueError, match=r'initial weights: head: 0\.0 % of the parameters are loaded'):
        run(tmp_path / 'a', model, hook=dict(min_loaded=dict(backbone=1, head=0.5)))
    assert torch.equal(model.backbone.conv.weight, torch.load(checkpoint)['conv.weight'])
    assert len(run.last['problems']) == 1


def test_a_wrong_prefix_stops_by_itself(tmp_path, checkpoint):
    torch.save({f'net.{name}': value for name, value in torch.load(checkpoint).items()}, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r"nothing of it was loaded into backbone .* Fix: prefix='net.'"):
        run(tmp_path / 'a', Net(pretrained(str(tmp_path / 'w.pth'))))


def test_load_from(tmp_path, checkpoint):
    whole = {f'backbone.{name}': value + 1 for name, value in torch.load(checkpoint).items()}
    torch.save(dict(state_dict=whole), tmp_path / 'whole.pth')
    content = run(tmp_path / 'a', Net(pretrained(checkpoint)), load_from=str(tmp_path / 'whole.pth'))
    assert content['modules'][0]['files'] == [str(tmp_path / 'whole.pth')]
    assert [file['uses'][0]['origin'] for file in content['files']] == ['init_cfg', 'load_from']
    assert content['modules'][1]['not_loaded'] == dict(missing=2)


@pytest.mark.parametrize('named', [True, False])
def test_resumed_from_a_checkpoint_that_holds_a_log(tmp_path, checkpoint, named):
    """All weights come from it, also where the config still names others."""
    run(tmp_path / 'a', Net(pretrained(checkpoint)))
    saved = str(tmp_path / 'a' / 'epoch_1.pth')
    model = Net(pretrained(checkpoint))
    content = run(tmp_path / 'a', model, 2, dict(min_loaded=1), resume=True, load_from=saved if named else None)
    assert content['total']['share_loaded'] == 1
    assert content['total']['files'] == [saved]
    assert content['files'][1]['uses'][0]['origin'] == 'resume'


def test_random_and_frozen(tmp_path, checkpoint):
    model = Net()
    model.backbone.conv.requires_grad_(False)
    with pytest.raises(ValueError, match=r'random and frozen: backbone\.conv\.weight, backbone\.conv\.bias: '):
        run(tmp_path / 'a', model)
    run(tmp_path / 'b', model, hook=dict(allow_frozen_random=['backbone']))
    loaded = Net(pretrained(checkpoint))
    loaded.backbone.requires_grad_(False)
    assert run(tmp_path / 'c', loaded)['modules'][0]['frozen'] == 4 * 3 + 3 + 3 + 3


def test_batch_norm_with_statistics_of_nothing(tmp_path, checkpoint):
    with pytest.raises(ValueError, match=r'random and frozen: backbone\.norm\.running_mean, backbone\.norm\.running_v'):
        run(tmp_path / 'a', Net(norm_eval=True))
    run(tmp_path / 'b', Net(pretrained(checkpoint), norm_eval=True))


def test_the_first_stage_of_a_staged_training(tmp_path, checkpoint):
    """What a stage freezes is frozen before the weights are looked at."""
    import mmext.common.loops  # noqa: F401

    def train(name: str, model: nn.Module) -> None:
        stages = [dict(epochs=1, freeze=['backbone']), dict(epochs=1)]
        Runner(
            model=model,
            work_dir=str(tmp_path / name),
            train_dataloader=dict(
                dataset=Rows(),
                batch_size=2,
                sampler=dict(type='DefaultSampler'),
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(type='StagedTrainLoop', stages=stages),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[dict(type='InitialisationProofHook')],
            experiment_name=f'{tmp_path.name}-{name}',
        ).train()

    with pytest.raises(ValueError, match='random and frozen: backbone'):
        train('random', Net())
    train('loaded', Net(pretrained(checkpoint)))


def test_a_distributed_model_is_unwrapped(tmp_path, checkpoint):
    if torch.distributed.is_initialized():
        pytest.skip('another process group exists')
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(Net(pretrained(checkpoint)), device_ids=None)
        shares = {module['name']: module['share_loaded'] for module in run(tmp_path / 'a', model)['modules']}
        assert shares == dict(backbone=1, head=0)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    'settings', [dict(min_loaded=99), dict(min_loaded=dict(a=-0.1)), dict(allow_frozen_random='a')]
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValueError, match='give a'):
        InitialisationProofHook(**settings)
