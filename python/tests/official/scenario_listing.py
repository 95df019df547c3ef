"""Objects in pages: each once, in order, sizes right. `OBJECTS` says how many, 25,000 if unset."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from aistore.sdk import Client, ListObjectFlag

COUNT = int(os.environ.get("OBJECTS", "25000"))
PAGE = min(999, COUNT // 4 + 1)
client = Client(sys.argv[1], max_pool_size=16)
bucket = client.bucket(sys.argv[2])
names = [f"p{i % 7}/{i:06}" for i in range(COUNT)]


def put(i):
    bucket.object(names[i]).get_writer().put_content(b"x" * (i % 3))


with ThreadPoolExecutor(16) as pool:
    list(pool.map(put, range(COUNT)))

expected = sorted(names)
everything = bucket.list_all_objects(props="name,size")
assert [e.name for e in everything] == expected
assert all(e.size == int(e.name[3:]) % 3 for e in everything)
assert all(e.is_cached() and e.is_ok() for e in everything)

paged, token, uuid, pages = [], "", "", 0
while True:
    page = bucket.list_objects(page_size=PAGE, continuation_token=token, uuid=uuid)
    paged += [e.name for e in page.entries]
    token, uuid, pages = page.continuation_token, page.uuid, pages + 1
    if not token:
        break
assert paged == expected
assert pages == COUNT // PAGE + 1

assert [e.name for e in bucket.list_objects_iter(prefix="p3/", page_size=500)] == [
    n for n in expected if n.startswith("p3/")
]
assert [o.name for o in bucket.list_all_objects_iter(prefix="p5/")] == [
    n for n in expected if n.startswith("p5/")
]
dirs = bucket.list_all_objects(flags=[ListObjectFlag.NO_RECURSION])
assert [e.name for e in dirs] == [f"p{i}/" for i in range(7)]
assert bucket.list_objects(prefix="none").entries == []
print("ok")
