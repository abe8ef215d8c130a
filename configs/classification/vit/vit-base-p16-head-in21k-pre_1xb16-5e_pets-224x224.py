"""ViT-B/16 on cats and dogs, only the new head trained.

Report vit-pets. Published: accuracy 96.5. Not trained here.
Data: data/README.md, pets. Weights: tools/prepare/convert_vit.py. One GPU.
Run: python tools/train.py configs/classification/vit/vit-base-p16-head-in21k-pre_1xb16-5e_pets-224x224.py
"""

_base_ = [
    '../../_base_/models/vit-base-p16.py',
    '../../_base_/datasets/pets_224.py',
    '../../_base_/schedules/pets_5e.py',
    '../../_base_/runtime/classification.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/vit-base-p16-in21k-in1k.pth', prefix='backbone.')
    )
)
train_cfg = dict(
    type='StagedTrainLoop',
    val_interval=1,
    stages=[
        dict(
            epochs=5,
            freeze=['backbone'],
            lr=1e-4,
            batch_size=16,
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=5, by_epoch=True, convert_to_iter_based=True)],
        ),
    ],
)
default_hooks = dict(initialisation=dict(min_loaded=dict(backbone=1.0)))
