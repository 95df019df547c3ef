"""Shards made, listed and read through the official SDK."""

import io
import sys
import tarfile

from aistore.sdk import Client
from aistore.sdk.archive_config import ArchiveConfig

client = Client(sys.argv[1])
bucket = client.bucket("sdk-archives").create(exist_ok=True)
content = {f"o/{at:02}": b"x" * (at * 1000) for at in range(20)}
for name, data in content.items():
    bucket.object(name).get_writer().put_content(data)
for shard in ("s.tar", "s.tgz", "s.zip"):
    for job_id in bucket.objects(obj_names=list(content)[:10]).archive(shard):
        result = client.job(job_id).wait_for_idle(timeout=60)
        assert result is None or result.success, result
    for job_id in bucket.objects(obj_template="o/{10..19}").archive(shard, allow_append=True):
        result = client.job(job_id).wait_for_idle(timeout=60)
        assert result is None or result.success, result
    names = [entry.name for entry in bucket.list_archive(shard)]
    assert len(names) == 20, names
    config = ArchiveConfig(archpath="o/07")
    assert bucket.object(shard).get_reader(archive_config=config).read_all() == content["o/07"]
    batch = client.batch(bucket=bucket)
    for name in reversed(content):
        batch.add(shard, archpath=name)
    got = [data for _, data in batch.get()]
    assert got == [content[name] for name in reversed(content)], [len(data) for data in got]
with tarfile.open(fileobj=io.BytesIO(bucket.object("s.tar").get_reader().read_all())) as archive:
    assert archive.getnames() == list(content)
bucket.delete()
print("ok")
