"""What the cluster does with whole buckets: most of it as jobs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import TypeAdapter

from aistore.sdk import const
from aistore.sdk._bucket_identity import BucketIdentity
from aistore.sdk.enums import FLTPresence
from aistore.sdk.errors import UnexpectedHTTPStatusCode
from aistore.sdk.types import (
    BsummCtrlMsg,
    CopyBckMsg,
    CreateNBIMsg,
    NBIInfo,
    TCBckMsg,
    TransformBckMsg,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aistore.sdk.response import Response

_OK = 200
_ACCEPTED = 202
_PARTIAL = 206
_FIRST_PAUSE_S = 0.2
_PAUSE_GROWS = 1.5
_LONGEST_PAUSE_S = 10.0


class BucketJobs(BucketIdentity):
    """The part of a bucket's interface that works on all of it."""

    def rename(self, to_bck_name: str) -> str:
        """Gives the bucket another name; from now on this object means the new one.

        Args:
            to_bck_name: The new name.

        Returns:
            Id of the job that moves the data.

        Raises:
            InvalidBckProvider: Only `ais` buckets are renamed.
            AISError: The name is taken.
        """
        self._require_ais()
        model = self.as_model()
        model.name = to_bck_name
        job_id = self._start(const.ACT_MOVE_BCK, None, model.get_path())
        self._set_name(to_bck_name)
        return job_id

    def evict(self, keep_md: bool = False) -> None:
        """Drops the cluster's copy of a remote bucket.

        Args:
            keep_md: Whether the cluster goes on knowing the bucket.

        Raises:
            InvalidBckProvider: The data has no other home.
        """
        self.verify_cloud_bucket()
        self.make_request(
            const.HTTP_METHOD_DELETE,
            const.ACT_EVICT_REMOTE_BCK,
            params={const.QPARAM_KEEP_REMOTE: str(keep_md)},
        )

    def copy(
        self,
        to_bck: BucketIdentity,
        prefix_filter: str = "",
        prepend: str = "",
        ext: dict[str, str] | None = None,
        dry_run: bool = False,
        force: bool = False,
        latest: bool = False,
        sync: bool = False,
        num_workers: int | None = 0,
    ) -> str:
        """Copies the bucket's objects to another one.

        Args:
            to_bck: The other one; made if it does not exist.
            prefix_filter: Only names that start with it.
            prepend: Text in front of each name.
            ext: Endings of names to replace: `{"jpg": "txt"}`.
            dry_run: Only counts what would be done.
            force: Whether to start beside jobs that speak against it.
            latest: Whether to look for newer versions at the remote home.
            sync: Whether to delete there what is not here.
            num_workers: Workers per target; 0 leaves it to them, -1 is none but the walk itself.

        Returns:
            Id of the job.
        """
        copying = CopyBckMsg(
            prefix=prefix_filter,
            prepend=prepend,
            dry_run=dry_run,
            force=force,
            latest=latest,
            sync=sync,
        )
        message = TCBckMsg(ext=ext, num_workers=num_workers, copy_msg=copying)
        return self._start(const.ACT_COPY_BCK, message.as_dict(), to_bck.get_path())

    def transform(
        self,
        etl_name: str,
        to_bck: BucketIdentity,
        timeout: str = const.DEFAULT_ETL_TIMEOUT,
        prefix_filter: str = "",
        prepend: str = "",
        ext: dict[str, str] | None = None,
        force: bool = False,
        dry_run: bool = False,
        latest: bool = False,
        sync: bool = False,
        num_workers: int | None = 0,
        cont_on_err: bool = False,
        etl_pipeline: list[str] | None = None,
    ) -> str:
        """Sends the bucket's objects through a transformer, into another bucket.

        Args:
            etl_name: The transformer.
            to_bck: Where results go.
            timeout: Longest time for one object.
            prefix_filter: As for `copy`.
            prepend: As for `copy`.
            ext: As for `copy`.
            force: As for `copy`.
            dry_run: As for `copy`.
            latest: As for `copy`.
            sync: As for `copy`.
            num_workers: As for `copy`.
            cont_on_err: Whether to go on after an object failed.
            etl_pipeline: Further transformers, in order.

        Returns:
            Id of the job.
        """
        message = TCBckMsg(
            ext=ext,
            num_workers=num_workers,
            cont_on_err=cont_on_err,
            copy_msg=CopyBckMsg(
                prefix=prefix_filter,
                prepend=prepend,
                dry_run=dry_run,
                force=force,
                latest=latest,
                sync=sync,
            ),
            transform_msg=TransformBckMsg(
                etl_name=etl_name, timeout=timeout, etl_pipeline=etl_pipeline
            ),
        )
        return self._start(const.ACT_ETL_BCK, message.as_dict(), to_bck.get_path())

    def inspect(
        self,
        etl_name: str,
        timeout: str = const.DEFAULT_ETL_TIMEOUT,
        prefix_filter: str = "",
        latest: bool = False,
        num_workers: int | None = None,
        etl_pipeline: list[str] | None = None,
    ) -> str:
        """Sends the bucket's objects through a transformer that only looks; results are dropped."""
        return self.transform(
            etl_name,
            self,
            timeout,
            prefix_filter,
            dry_run=True,
            latest=latest,
            num_workers=num_workers,
            cont_on_err=True,
            etl_pipeline=etl_pipeline,
        )

    def _start(self, action: str, value: Any, to_bck: str) -> str:
        answer = self.make_request(
            const.HTTP_METHOD_POST, action, value, {const.QPARAM_BCK_TO: to_bck}
        )
        return answer.text.strip('"')

    def summary(
        self, uuid: str = "", prefix: str = "", cached: bool = True, present: bool = True
    ) -> dict[str, Any]:
        """Numbers and sizes of the bucket's objects; waits until they are counted.

        Args:
            uuid: Id of a summary that is being made already.
            prefix: Only names that start with it.
            cached: Whether to count only what is in the cluster.
            present: Whether the bucket must be in the cluster.
        """
        message = BsummCtrlMsg(uuid=uuid, prefix=prefix, cached=cached, present=present)

        def ask() -> Response:
            return self.make_request(
                const.HTTP_METHOD_GET, const.ACT_SUMMARY_BCK, message.model_dump()
            )

        if not uuid:
            first = ask()
            if first.status_code != _ACCEPTED:
                raise UnexpectedHTTPStatusCode([_ACCEPTED], first.status_code)
            message.uuid = first.text.strip('"')
        answer = _wait_until_whole(ask, _FIRST_PAUSE_S)
        found: list[dict[str, Any]] = answer.json()
        return found[0]

    def info(
        self,
        flt_presence: FLTPresence | int = FLTPresence.FLT_EXISTS,
        bsumm_remote: bool = True,
        prefix: str = "",
    ) -> tuple[str, dict[str, Any]]:
        """The bucket's properties, and numbers and sizes of its objects.

        Args:
            flt_presence: Whether the bucket must be in the cluster.
            bsumm_remote: Whether to count at the remote home as well.
            prefix: Only names that start with it.

        Returns:
            Properties as JSON text, and the summary.

        Raises:
            ValueError: Not a value of `FLTPresence`.
        """
        presence = FLTPresence(flt_presence)
        params = {
            **self.qparam,
            const.QPARAM_FLT_PRESENCE: str(presence.value),
            const.QPARAM_BSUMM_REMOTE: str(bsumm_remote),
        }
        path = f"{self.url_path}/{quote(prefix)}" if prefix else self.url_path
        first = self.client.request("HEAD", path, params=params)
        if first.status_code != _ACCEPTED:
            raise UnexpectedHTTPStatusCode([_ACCEPTED], first.status_code)
        properties = first.headers.get(const.AIS_BCK_PROPS, "")
        params[const.QPARAM_UUID] = first.headers.get(const.AIS_XACTION_ID, "").strip('"')
        answer = _wait_until_whole(
            lambda: self.client.request("HEAD", path, params=params), _FIRST_PAUSE_S
        )
        summary: dict[str, Any] = json.loads(answer.headers.get(const.AIS_BCK_SUMM) or "{}")
        return properties, summary

    def create_inventory(
        self,
        name: str = "",
        prefix: str = "",
        props: str = "",
        names_per_chunk: int = 0,
        force: bool = False,
    ) -> str:
        """Writes down a listing of a remote bucket, to list from later.

        Returns:
            Id of the job.
        """
        message = CreateNBIMsg(
            name=name, prefix=prefix, props=props, names_per_chunk=names_per_chunk, force=force
        )
        answer = self.make_request(const.HTTP_METHOD_POST, const.ACT_CREATE_NBI, message.as_dict())
        return answer.text.strip('"')

    def destroy_inventory(self, name: str = "") -> None:
        """Removes one inventory, or all without a name."""
        self.make_request(const.HTTP_METHOD_DELETE, const.ACT_DESTROY_NBI, name=name)

    def show_inventory(self, name: str = "") -> dict[str, NBIInfo]:
        """Inventories of the bucket, by the names of the objects that hold them."""
        answer = self.make_request(const.HTTP_METHOD_GET, const.ACT_SHOW_NBI, name=name)
        return TypeAdapter(dict[str, NBIInfo]).validate_json(answer.content)


def _wait_until_whole(ask: Callable[[], Response], pause: float) -> Response:
    """Asks until the answer is the final one."""
    while True:
        answer = ask()
        if answer.status_code == _OK:
            return answer
        if answer.status_code not in {_ACCEPTED, _PARTIAL}:
            raise UnexpectedHTTPStatusCode([_OK, _ACCEPTED, _PARTIAL], answer.status_code)
        time.sleep(pause)
        pause = min(pause * _PAUSE_GROWS, _LONGEST_PAUSE_S)
