"""Data sets for PyTorch; needs `pip install aistore[pytorch]`."""

from aistore.pytorch.base_iter_dataset import AISBaseIterDataset
from aistore.pytorch.base_map_dataset import AISBaseMapDataset
from aistore.pytorch.batch_iter_dataset import AISBatchIterDataset
from aistore.pytorch.dynamic_sampler import DynamicBatchSampler
from aistore.pytorch.iter_dataset import AISIterDataset
from aistore.pytorch.map_dataset import AISMapDataset
from aistore.pytorch.multishard_dataset import AISMultiShardStream
from aistore.pytorch.parallel_map_dataset import AISParallelMapDataset
from aistore.pytorch.shard_reader import AISShardReader

__all__ = [
    "AISBaseIterDataset",
    "AISBaseMapDataset",
    "AISBatchIterDataset",
    "AISIterDataset",
    "AISMapDataset",
    "AISMultiShardStream",
    "AISParallelMapDataset",
    "AISShardReader",
    "DynamicBatchSampler",
]
