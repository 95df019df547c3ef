"""The cluster as the SDK shows it."""


def run(client, bucket):
    cluster = client.cluster()
    smap = cluster.get_info()
    assert cluster.is_ready()
    assert cluster.get_primary_url() == smap.proxy_si.public_net.direct_url
    assert cluster.get_uuid() == smap.uuid
    owners = {smap.get_target_for_object(bucket.object(f"o{i}").uname).daemon_id for i in range(50)}
    assert owners == set(smap.tmap)
    performance = cluster.get_performance()
    assert set(performance) == set(smap.tmap)
    target = next(iter(smap.tmap))
    return {
        "nodes": [len(smap.tmap), len(smap.pmap)],
        "keys": sorted(performance[target]),
        "running": cluster.list_running_jobs(job_kind="resilver"),
        "status": cluster.list_jobs_status(job_kind="resilver"),
    }
