"""Ctrl-C while targets hang, and batches while one is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import aistore
from aistore.sdk import Bucket

LARGE = 200 << 20
READ = """
import sys, time
from aistore import Client
obj = Client(sys.argv[1]).bucket(sys.argv[2]).object("large")
print("go", flush=True)
try:
    for _ in range(1000):
        obj.get_reader().read_all()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def reader(cluster: aistore.LocalCluster, bucket: Bucket) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READ, cluster.endpoint, bucket.name],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_a_large_get_while_targets_hang(own_cluster: aistore.LocalCluster) -> None:
    bucket = own_cluster.client().bucket("b").create()
    bucket.object("large").get_writer().put_content(os.urandom(LARGE))
    process = reader(own_cluster, bucket)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(0.5)
    for node in own_cluster.targets:
        os.kill(node.pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - started < 1.5
        assert process.wait(10) == 0
        process.stdout.close()
    finally:
        for node in own_cluster.targets:
            os.kill(node.pid, signal.SIGCONT)


def test_a_dead_target_costs_its_entries(own_cluster: aistore.LocalCluster) -> None:
    client = own_cluster.client()
    bucket = client.bucket("b").create()
    names = [f"o{i}" for i in range(12)]
    bucket.put_many((name, name.encode()) for name in names)
    assert all(not out.err_msg for out, _ in client.batch(names, bucket).get())
    victim = own_cluster.targets[0]
    smap = client.cluster().get_info()
    lost = {
        name
        for name in names
        if smap.get_target_for_object(bucket.object(name).uname).daemon_id == victim.node_id
    }
    own_cluster.kill_target(0)
    got = {out.obj_name: (out.err_msg, data) for out, data in client.batch(names, bucket).get()}
    assert list(got) == names
    assert {name for name, (error, _) in got.items() if error} == lost
    assert all(data == name.encode() for name, (error, data) in got.items() if not error)
