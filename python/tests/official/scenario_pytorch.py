"""The official PyTorch datasets, in DataLoader workers."""

import sys

from torch.utils.data import DataLoader

from aistore.pytorch import AISIterDataset, AISMapDataset
from aistore.sdk import Client

client = Client(sys.argv[1])
bucket = client.bucket(sys.argv[2])
contents = {f"s{i:03}": b"%d" % i * (i + 1) for i in range(50)}
for name, content in contents.items():
    bucket.object(name).get_writer().put_content(content)

dataset = AISIterDataset(ais_source_list=[bucket])
assert dict(dataset) == contents
for workers in (0, 2):
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=list)
    items = [item for batch in loader for item in batch]
    assert len(items) == 50
    assert dict(items) == contents

dataset = AISMapDataset(ais_source_list=[bucket])
loader = DataLoader(dataset, batch_size=8, num_workers=2, collate_fn=list)
assert dict(item for batch in loader for item in batch) == contents
print("ok")
