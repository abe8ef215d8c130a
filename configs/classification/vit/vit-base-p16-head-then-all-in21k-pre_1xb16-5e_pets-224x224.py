"""ViT-B/16 on cats and dogs, the new head first, then all parameters.

Report vit-pets. Published: - (not in the report). Not trained here.
Data: data/README.md, pets. Weights: tools/prepare/convert_vit.py. One GPU.
Run: python tools/train.py configs/classification/vit/vit-base-p16-head-then-all-in21k-pre_1xb16-5e_pets-224x224.py
"""

_base_ = './vit-base-p16-all-in21k-pre_1xb16-5e_pets-224x224.py'

train_cfg = dict(
    stages=[
        dict(
            epochs=2,
            freeze=['backbone'],
            lr=1e-4,
            batch_size=16,
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)],
        ),
        dict(
            epochs=3,
            freeze=[],
            lr=1e-4,
            batch_size=16,
            param_scheduler=[dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)],
        ),
    ],
)
