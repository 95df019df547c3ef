"""Sources of samples, and writing them as shards."""

from aistore.sdk.dataset.config_attribute import ConfigAttribute
from aistore.sdk.dataset.data_attribute import DataAttribute
from aistore.sdk.dataset.dataset_config import DatasetConfig
from aistore.sdk.dataset.label_attribute import LabelAttribute

__all__ = ["ConfigAttribute", "DataAttribute", "DatasetConfig", "LabelAttribute"]
