"""Signatures of the public classes are those of the official SDK 2.0.0; what is added is keyword-only."""

from __future__ import annotations

import importlib
import inspect

import pytest

# Class: its module, then one line per method: name(parameters with defaults).
SURFACE = {
    "aistore.sdk.client.Client": """
        __init__(endpoint, skip_verify=False, ca_cert=None, client_cert=None, timeout=None, retry_config=None, token=None, max_pool_size=None)
        bucket(bck_name, provider=Provider.AIS, namespace=None)
        cluster()
        job(job_id='', job_kind='')
        get_object_from_url(url)
        batch(objects=None, bucket=None, output_format='.tar', cont_on_err=True, only_obj_name=False, streaming_get=True, colocation=Colocation.NONE)
    """,
    "aistore.sdk.cluster.Cluster": """
        __init__(client)
        get_info()
        get_primary_url()
        get_uuid()
        list_buckets(provider=Provider.AIS)
        list_jobs_status(job_kind='', target_id='')
        list_running_jobs(job_kind='', target_id='')
        list_etls(stages=('Running',))
        is_ready()
        get_performance()
        get_node_log(node_id, severity=LogSeverity.INFO)
        get_node_log_archive(node_id, severity=LogSeverity.INFO)
        get_cluster_logs(severity=LogSeverity.INFO, role=NodeFilter.TARGET)
    """,
    "aistore.sdk.bucket.Bucket": """
        __init__(name, client=None, provider=Provider.AIS, namespace=None)
        get_path()
        as_model()
        create(exist_ok=False)
        delete(missing_ok=False)
        rename(to_bck_name)
        evict(keep_md=False)
        head()
        summary(uuid='', prefix='', cached=True, present=True)
        info(flt_presence=FLTPresence.FLT_EXISTS, bsumm_remote=True, prefix='')
        copy(to_bck, prefix_filter='', prepend='', ext=None, dry_run=False, force=False, latest=False, sync=False, num_workers=0)
        transform(etl_name, to_bck, timeout='5m', prefix_filter='', prepend='', ext=None, force=False, dry_run=False, latest=False, sync=False, num_workers=0, cont_on_err=False, etl_pipeline=None)
        inspect(etl_name, timeout='5m', prefix_filter='', latest=False, num_workers=None, etl_pipeline=None)
        list_objects(prefix='', props='', page_size=0, uuid='', continuation_token='', flags=None, target='', inventory_name='', start_after='')
        list_objects_iter(prefix='', props='', page_size=0, flags=None, target='', inventory_name='', start_after='')
        list_all_objects(prefix='', props='', page_size=0, flags=None, target='', inventory_name='', start_after='')
        list_all_objects_iter(prefix='', props='name,size', start_after='')
        list_urls(prefix='', etl=None)
        list_archive(archive_obj_name, include_archive_obj=False, props='', page_size=0)
        create_inventory(name='', prefix='', props='', names_per_chunk=0, force=False)
        destroy_inventory(name='')
        show_inventory(name='')
        put_files(path, prefix_filter='', pattern='*', basename=False, prepend=None, recursive=False, dry_run=False, verbose=True)
        object(obj_name, props=None)
        objects(obj_names=None, obj_range=None, obj_template=None)
        make_request(method, action, value=None, params=None, name='')
        verify_cloud_bucket()
        write_dataset(config, skip_missing=True)
    """,
    "aistore.sdk.obj.object.Object": """
        __init__(client, bck_details, name, props=None)
        head(props='')
        get_reader(archive_config=None, blob_download_config=None, chunk_size=None, etl=None, writer=None, latest=False, byte_range=None, direct=False, num_workers=None)
        get_semantic_url()
        get_url(archpath='', etl=None)
        get_writer()
        multipart_upload()
        promote(path, target_id='', recursive=False, overwrite_dest=False, delete_source=False, src_not_file_share=False)
        delete()
        copy(to_obj, etl=None, latest=False, sync=False)
        blob_download(chunk_size=None, num_workers=None, latest=False)
    """,
    "aistore.sdk.obj.object_reader.ObjectReader": """
        __init__(object_client, chunk_size=None, num_workers=None)
        head()
        read_all()
        raw()
        as_file(buffer_size=None, max_resume=5)
    """,
    "aistore.sdk.obj.object_client.ObjectClient": """
        __init__(request_client, path, params, headers=None, byte_range=(None, None), uname=None)
    """,
    "aistore.sdk.obj.object_writer.ObjectWriter": """
        __init__(client, object_path, query_params)
        put_content(content)
        put_file(path)
        append_content(content, handle='', flush=False)
        set_custom_props(custom_metadata, replace_existing=False)
        as_file(mode='a')
    """,
    "aistore.sdk.obj.multipart_upload.MultipartUpload": """
        __init__(client, object_path, params=None)
        create()
        add_part(part_number)
        complete()
        abort()
    """,
    "aistore.sdk.obj.obj_file.object_file.ObjectFileReader": "__init__(content_provider, max_resume)",
    "aistore.sdk.obj.obj_file.object_file.ObjectFileWriter": "__init__(obj_writer, mode)",
    "aistore.sdk.job.Job": """
        __init__(client, job_id='', job_kind='')
        status()
        get_details()
        wait(timeout=300, verbose=True)
        wait_for_idle(timeout=300, verbose=True)
        wait_single_node(timeout=300, verbose=True)
        start(daemon_id='', force=False, buckets=None)
        abort()
        get_within_timeframe(start_time, end_time=None)
        get_total_time()
    """,
    "aistore.sdk.wait_result.WaitResult": "__init__(job_id, success, error=None, end_time=None)",
    "aistore.sdk.multiobj.object_group.ObjectGroup": """
        __init__(bck, obj_names=None, obj_range=None, obj_template=None)
        delete()
        evict()
        prefetch(blob_threshold=None, num_workers=None, latest=False, continue_on_error=False)
        copy(to_bck, prepend='', continue_on_error=False, dry_run=False, force=False, latest=False, sync=False, num_workers=None)
        transform(to_bck, etl_name, timeout='5m', prepend='', ext=None, continue_on_error=False, dry_run=False, force=False, latest=False, sync=False, num_workers=None, etl_pipeline=None)
        inspect(etl_name, timeout='5m', latest=False, num_workers=None, etl_pipeline=None)
        archive(archive_name, mime='', to_bck=None, include_source_name=False, allow_append=False, continue_on_err=False)
        list_names()
        list_urls(prefix='', etl=None)
        list_all_objects_iter(prefix='', props='name,size')
    """,
    "aistore.sdk.multiobj.object_range.ObjectRange": "__init__(prefix, min_index=None, max_index=None, pad_width=0, step=1, suffix='')",
    "aistore.sdk.dataset.dataset_config.DatasetConfig": """
        __init__(primary_attribute, secondary_attributes=None)
        generate_dataset(max_shard_items)
        write_shards(skip_missing)
    """,
    "aistore.sdk.dataset.data_attribute.DataAttribute": "__init__(path, name, file_type)",
    "aistore.sdk.dataset.label_attribute.LabelAttribute": "__init__(name, label_identifier)",
    "aistore.sdk.archive_config.ArchiveConfig": "__init__(archpath='', regex='', mode=None)",
    "aistore.sdk.dataset.data_shard.DataShard": "__init__(client_url, bucket_name, provider=Provider.AIS, prefix='', etl_name=None)",
    "aistore.pytorch.base_map_dataset.AISBaseMapDataset": """
        __init__(ais_source_list, prefix_map={})
        get_obj_list()
        __getitem__(index)
        __getitems__(indices)
    """,
    "aistore.pytorch.map_dataset.AISMapDataset": "__init__(ais_source_list=[], prefix_map={}, etl_name=None)",
    "aistore.pytorch.parallel_map_dataset.AISParallelMapDataset": "__init__(ais_source_list=None, prefix_map=None, num_workers=16)",
    "aistore.pytorch.base_iter_dataset.AISBaseIterDataset": "__init__(ais_source_list, prefix_map={}, partition_sources_by_worker=False)",
    "aistore.pytorch.iter_dataset.AISIterDataset": "__init__(ais_source_list, prefix_map={}, etl_name=None, show_progress=False, partition_sources_by_worker=False)",
    "aistore.pytorch.batch_iter_dataset.AISBatchIterDataset": "__init__(ais_source_list, client, prefix_map={}, show_progress=False, max_batch_size=32, output_format='.tar', streaming=True, colocation=Colocation.NONE, partition_sources_by_worker=False, cont_on_err=False)",
    "aistore.pytorch.shard_reader.AISShardReader": "__init__(bucket_list, prefix_map={}, etl_name=None, show_progress=False, partition_sources_by_worker=False)",
    "aistore.pytorch.multishard_dataset.AISMultiShardStream": "__init__(data_sources)",
    "aistore.pytorch.dynamic_sampler.DynamicBatchSampler": "__init__(data_source, max_batch_size, drop_last=False, allow_oversized_samples=False, saturation_factor=0.8, shuffle=False)",
}
ERRORS = """
    APIRequestError AISError AISRetryableError ErrObjNotFound ErrGETConflict ErrRemoteBckNotFound ErrBckNotFound
    ErrBckAlreadyExists ErrETLAlreadyExists ErrETLNotFound InvalidBckProvider Timeout InvalidObjectRangeIndex
    JobInfoNotFound UnexpectedHTTPStatusCode InvalidURLException NoTargetError InvalidPipelineError
    ETLDirectPutTransientError
"""
LINES = [
    (owner, line.strip()) for owner, text in SURFACE.items() for line in text.strip().splitlines()
]


def written(method: object) -> str:
    parts = []
    for parameter in inspect.signature(method).parameters.values():
        if parameter.name == "self" or parameter.kind in {
            parameter.KEYWORD_ONLY,
            parameter.VAR_KEYWORD,
        }:
            continue
        default = parameter.default
        text = str(default) if hasattr(default, "name") else repr(default)
        if hasattr(default, "name"):
            text = f"{type(default).__name__}.{default.name}"
        parts.append(parameter.name if default is parameter.empty else f"{parameter.name}={text}")
    return ", ".join(parts)


@pytest.mark.parametrize(
    ("owner", "line"), LINES, ids=[f"{o.split('.')[-1]}.{s}" for o, s in LINES]
)
def test_signatures(owner: str, line: str) -> None:
    module, _, name = owner.rpartition(".")
    method, _, parameters = line.partition("(")
    found = getattr(getattr(importlib.import_module(module), name), method)
    # Empty and none are the same where sources and prefixes are given.
    expected = parameters.removesuffix(")").replace("={}", "=None").replace("=[]", "=None")
    assert written(found) == expected


def test_errors_are_all_there() -> None:
    module = importlib.import_module("aistore.sdk.errors")
    for name in ERRORS.split():
        assert issubclass(getattr(module, name), Exception)
