from .checked_cifar100 import CheckedCIFAR100, CIFAR100Error
from .file_name_label_dataset import FileNameLabelDataset
from .file_name_labels import FileNameLabelError
from .sample_cifar100 import SampleCIFAR100

__all__ = ['CIFAR100Error', 'CheckedCIFAR100', 'FileNameLabelDataset', 'FileNameLabelError', 'SampleCIFAR100']
