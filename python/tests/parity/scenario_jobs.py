"""Jobs: bucket copy and rename as jobs, waiting, snapshots, listing of jobs, errors."""

from datetime import datetime, timedelta, timezone

from aistore.sdk.errors import AISError, JobInfoNotFound


def attempt(call):
    try:
        call()
    except (AISError, JobInfoNotFound, ValueError) as exc:
        return [type(exc).__name__, getattr(exc, "status_code", None)]
    return "no error"


def run(client, bucket):
    started = datetime.now(timezone.utc) - timedelta(minutes=1)
    for i in range(50):
        bucket.object(f"{'a' if i % 2 else 'b'}/{i:02}").get_writer().put_content(b"%d" % i)
    there, moved = client.bucket(bucket.name + "-cp"), client.bucket(bucket.name + "-mv")
    try:
        job_id = bucket.copy(there, prefix_filter="a/", prepend="new/")
        job = client.job(job_id)
        result = job.wait(timeout=60, verbose=False)
        assert result
        status = job.status()
        assert status.end_time > 0
        copied = [entry.name for entry in there.list_all_objects()]
        assert copied == [f"new/a/{i:02}" for i in range(1, 50, 2)]
        snaps = job.get_details().list_snapshots()
        seen = {
            "wait": [result.success, result.error in {"", None}],
            "status": [status.err, status.aborted],
            "objects": sum(snap.stats.objects for snap in snaps),
            "kinds": sorted({snap.kind for snap in snaps}),
            "total": job.get_total_time() is not None,
            "frame": len(client.job(job_kind="copy-bck").get_within_timeframe(started)) >= 1,
        }
        assert seen["objects"] == 25
        assert seen["kinds"] == ["copy-bck"]
        assert job_id in [s.uuid for s in client.cluster().list_jobs_status(job_kind="copy-bck")]
        assert all("[" in text for text in client.cluster().list_running_jobs())
        name = there.name
        job_id = there.rename(moved.name)
        assert client.job(job_id).wait(timeout=60, verbose=False)
        assert there.name == moved.name
        buckets = {b.name for b in client.cluster().list_buckets()}
        assert moved.name in buckets
        assert name not in buckets
        assert [entry.name for entry in moved.list_all_objects()] == copied
        seen["bad"] = [
            attempt(lambda: client.job("Unknown99x").status()),
            attempt(lambda: client.job().status()),
            attempt(lambda: client.job(job_kind="no-such-kind").start()),
            attempt(lambda: client.job("Unknown99x").get_within_timeframe(started)),
            attempt(lambda: client.bucket(bucket.name + "-none").copy(moved)),
        ]
        return seen
    finally:
        client.bucket(bucket.name + "-cp").delete(missing_ok=True)
        client.bucket(bucket.name + "-mv").delete(missing_ok=True)
