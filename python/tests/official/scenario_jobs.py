"""Jobs through the official SDK: copy, rename, summary, info, start, wait, stop."""

import sys

from aistore.sdk import Client

client = Client(sys.argv[1])
source = client.bucket("sdk-jobs").create(exist_ok=True)
for at in range(30):
    source.object(f"o/{at:02}").get_writer().put_content(b"x" * at)

summary = source.summary(prefix="o/")
assert summary["ObjCount"]["obj_count_present"] == "30", summary
assert summary["TotalSize"]["size_all_present_objs"] == str(sum(range(30))), summary
props, info = source.info()
assert "provider" in props, props
assert info["ObjCount"]["obj_count_present"] == "30", info

copy = client.bucket("sdk-jobs-copy")
job = client.job(source.copy(copy, prefix_filter="o/1", prepend="p/"))
result = job.wait(timeout=60)
assert result is None or result.success, result
status = client.job(job.job_id).status()
assert status.err == "", status
assert status.end_time > 0, status
assert [e.name for e in copy.list_all_objects()] == [f"p/o/{at}" for at in range(10, 20)]
renamed = client.bucket("sdk-jobs-renamed")
client.job(copy.rename(renamed.name)).wait(timeout=60)
assert len(renamed.list_all_objects()) == 10
names = {bucket.name for bucket in client.cluster().list_buckets()}
assert renamed.name in names and "sdk-jobs-copy" not in names, names

lru = client.job(job_kind="lru")
lru_id = lru.start()
client.job(lru_id).wait(timeout=60)
jobs = client.cluster().list_jobs_status(job_kind="lru")
assert any(one.uuid == lru_id for one in jobs), jobs
assert client.cluster().list_running_jobs(job_kind="lru") == []
renamed.delete()
source.delete()
print("ok")
