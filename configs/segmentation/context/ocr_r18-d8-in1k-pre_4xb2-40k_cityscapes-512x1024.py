"""Object context (OCR) on ResNet-18 at stride 8, Cityscapes, 4 GPUs x 2 images, 40k iterations. arXiv:1909.11065

As the pyramid pooling recipe, another context; its soft object regions are those of the auxiliary classifier.
Published (report context): mIoU 61.86, mAcc 70.87, allAcc 93.31. Not trained here.
Data: data/cityscapes, 2975 train / 500 val. Weights: metafile.yml. Hardware: the report names an RTX 2080 Ti.
Run: python tools/train.py configs/segmentation/context/ocr_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py
"""

_base_ = './ppm_r18-d8-in1k-pre_4xb2-40k_cityscapes-512x1024.py'

model = dict(decode_head=dict(context=dict(type='ObjectContext')))
