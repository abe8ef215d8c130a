"""ViT-B/16 on cats and dogs, only the new head trained.

Report vit-pets. Published: accuracy 96.5. Not trained here.
Data: data/README.md, pets. Weights: tools/prepare/convert_vit.py. One GPU.
Run: python tools/train.py configs/classification/vit/vit-base-p16-head-in21k-pre_1xb16-5e_pets-224x224.py
"""

_base_ = './vit-base-p16-all-in21k-pre_1xb16-5e_pets-224x224.py'

train_cfg = dict(
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
