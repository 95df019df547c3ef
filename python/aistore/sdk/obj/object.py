"""Objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from aistore.sdk import const
from aistore.sdk.obj._place import object_path
from aistore.sdk.obj.object_client import ObjectClient
from aistore.sdk.obj.object_props import ObjectProps, identity_headers
from aistore.sdk.obj.object_reader import ObjectReader
from aistore.sdk.obj.object_writer import ObjectWriter
from aistore.sdk.provider import Provider
from aistore.sdk.request_client import pairs, quote_name
from aistore.sdk.response import Response
from aistore.sdk.types import ActionMsg, BlobMsg, PromoteAPIArgs

if TYPE_CHECKING:
    from os import PathLike
    from typing import Protocol

    from aistore.sdk.archive_config import ArchiveConfig
    from aistore.sdk.blob_download_config import BlobDownloadConfig
    from aistore.sdk.obj.content_iterator import ParallelBuffer
    from aistore.sdk.obj.multipart_upload import MultipartUpload
    from aistore.sdk.obj.object_attributes import ObjectAttributes
    from aistore.sdk.obj.object_client import WritableBuffer
    from aistore.sdk.request_client import RequestClient
    from aistore.sdk.types import QueryParams

    class LinesWriter(Protocol):
        """Where `get_reader` drains an object to."""

        def writelines(self, lines: ObjectReader[Any], /) -> object:
            """Writes all chunks."""


@dataclass(frozen=True)
class BucketDetails:
    """What an object needs to know of its bucket.

    Args:
        name: Name.
        provider: Provider.
        qparams: Query parameters that select the bucket.
        path: `provider/@uuid#namespace/bucket/`.
    """

    name: str
    provider: Provider
    qparams: dict[str, str]
    path: str


class Object:
    """An object, whether it exists or not.

    Args:
        client: Sends the requests.
        bck_details: Its bucket.
        name: Its name.
        props: What is known of it.
    """

    __slots__ = ("_bucket", "_client", "_name", "_props")

    def __init__(
        self,
        client: RequestClient,
        bck_details: BucketDetails,
        name: str,
        props: ObjectProps | None = None,
    ) -> None:
        self._client = client
        self._bucket = bck_details
        self._name = name
        self._props = props

    @property
    def client(self) -> RequestClient:
        """Sends the requests."""
        return self._client

    @property
    def bucket_name(self) -> str:
        """Name of the bucket."""
        return self._bucket.name

    @property
    def bucket_provider(self) -> Provider:
        """Provider of the bucket."""
        return self._bucket.provider

    @property
    def query_params(self) -> dict[str, str]:
        """Query parameters that select the bucket."""
        return self._bucket.qparams

    @property
    def name(self) -> str:
        """Name of the object."""
        return self._name

    @property
    def uname(self) -> str:
        """`provider/@uuid#namespace/bucket/object`: what placement hashes."""
        return self._bucket.path + self._name

    @property
    def props(self) -> ObjectProps:
        """Properties as of now: asks the cluster each time."""
        return self._fetch_props(const.PROPS_OBJECT)

    @property
    def props_cached(self) -> ObjectProps | None:
        """Properties as of the last time that the cluster told them."""
        return self._props

    def head(self, props: str = "") -> ObjectAttributes:
        """Asks for properties.

        Args:
            props: Those wanted, comma-separated; name and size if empty.

        Raises:
            AISError: There is no such object, with status 404.
        """
        return self._fetch_props(props or const.PROPS_NAME_SIZE)

    def _fetch_props(self, props: str) -> ObjectProps:
        answer = self._client.native.head(
            self._bucket.path, self._name, [(const.QPARAM_PROPS, props)]
        )
        headers = Response.wrap(answer).headers
        for header, value in identity_headers(self._bucket, self._name).items():
            headers.setdefault(header, value)
        self._props = ObjectProps(headers)
        return self._props

    @overload
    def get_reader(
        self,
        archive_config: ArchiveConfig | None = None,
        blob_download_config: BlobDownloadConfig | None = None,
        chunk_size: int | None = None,
        etl: QueryParams | None = None,
        writer: LinesWriter | None = None,
        latest: bool = False,
        byte_range: str | None = None,
        direct: bool = False,
        num_workers: None = None,
    ) -> ObjectReader[bytes]: ...

    @overload
    def get_reader(
        self,
        archive_config: ArchiveConfig | None = None,
        blob_download_config: BlobDownloadConfig | None = None,
        chunk_size: int | None = None,
        etl: QueryParams | None = None,
        writer: LinesWriter | None = None,
        latest: bool = False,
        byte_range: str | None = None,
        direct: bool = False,
        *,
        num_workers: int,
    ) -> ObjectReader[ParallelBuffer]: ...

    def get_reader(
        self,
        archive_config: ArchiveConfig | None = None,
        blob_download_config: BlobDownloadConfig | None = None,
        chunk_size: int | None = None,
        etl: QueryParams | None = None,
        writer: LinesWriter | None = None,
        latest: bool = False,
        byte_range: str | None = None,
        direct: bool = False,
        num_workers: int | None = None,
    ) -> ObjectReader[Any]:
        """Prepares reading; nothing is sent before the reader is used, unless `writer` is given.

        Args:
            archive_config: Reads files inside an archive instead of the archive.
            blob_download_config: Fetches a remote object in parallel chunks.
            chunk_size: Bytes per chunk when iterating.
            etl: Transformer that the object passes through.
            writer: Gets all chunks, through its `writelines`.
            latest: Whether to look for a newer version at the remote home.
            byte_range: Part to read: `bytes=a-b`, `bytes=a-` or `bytes=-n`.
            direct: Accepted for compatibility: reads always go straight to the owner.
            num_workers: Reads in parallel, this many ranges at a time, 2 or more.

        Raises:
            ValueError: The arguments contradict each other.
        """
        del direct
        _check_reader(byte_range, num_workers, blob=bool(blob_download_config), etl=bool(etl))
        params: dict[str, str] = {}
        headers: dict[str, str] = {}
        for option in (archive_config, etl):
            if option:
                option.update_qparams(params)
        if latest:
            params[const.QPARAM_LATEST] = "true"
        if byte_range:
            headers[const.HEADER_RANGE] = byte_range
        if blob_download_config:
            blob_download_config.update_headers(headers)
        source = ObjectClient(
            self._client, self._path, params, headers, uname=self._bucket.path + self._name
        )
        reader: ObjectReader[Any] = ObjectReader(source, chunk_size, num_workers)
        if writer is not None:
            writer.writelines(reader)
        return reader

    def read_into(self, buffer: WritableBuffer, offset: int = 0) -> int:
        """Reads into memory of the caller; see `ObjectReader.read_into`."""
        return self.get_reader().read_into(buffer, offset)

    def get_writer(self) -> ObjectWriter:
        """Prepares writing."""
        return ObjectWriter(self._client, self._path, self._bucket.qparams)

    def multipart_upload(self) -> MultipartUpload:
        """Prepares an upload in parts; `create` starts it."""
        from aistore.sdk.obj.multipart_upload import MultipartUpload  # noqa: PLC0415 - rarely used

        return MultipartUpload(self._client, self._path, self._bucket.qparams)

    def promote(
        self,
        path: str | PathLike[str],
        target_id: str = "",
        recursive: bool = False,
        overwrite_dest: bool = False,
        delete_source: bool = False,
        src_not_file_share: bool = False,
    ) -> str:
        """Makes objects of files that the targets can see.

        Args:
            path: The file or directory, as the targets see it.
            target_id: Only this target's files.
            recursive: Whether to descend into subdirectories.
            overwrite_dest: Whether to replace objects that exist.
            delete_source: Whether to delete the files afterwards.
            src_not_file_share: Whether targets that see the same files are to be taken for
                targets with files of their own.

        Returns:
            Id of the job; empty if all was done at once.
        """
        message = PromoteAPIArgs(
            target_id=target_id,
            source_path=str(path),
            object_name=self._name,
            recursive=recursive,
            overwrite_dest=overwrite_dest,
            delete_source=delete_source,
            src_not_file_share=src_not_file_share,
        )
        return self._act_in_bucket(const.ACT_PROMOTE, str(path), message.as_dict())

    def blob_download(
        self,
        chunk_size: int | None = None,
        num_workers: int | None = None,
        latest: bool = False,
    ) -> str:
        """Fetches the object from its remote home in parallel chunks.

        Args:
            chunk_size: Bytes of a chunk.
            num_workers: Chunks at a time.
            latest: Whether to look for a newer version.

        Returns:
            Id of the job; empty if the object is here already.
        """
        message = BlobMsg(chunk_size=chunk_size, num_workers=num_workers, latest=latest)
        return self._act_in_bucket(const.ACT_BLOB_DOWNLOAD, self._name, message.as_dict())

    def _act_in_bucket(self, action: str, name: str, value: dict[str, Any]) -> str:
        path = f"{const.URL_PATH_OBJECTS}/{quote_name(self._bucket.name)}"
        body = ActionMsg(action=action, name=name, value=value).model_dump()
        answer = self._client.request("POST", path, params=self._bucket.qparams, json=body)
        return answer.text.strip('"')

    def copy(
        self,
        to_obj: Object,
        etl: QueryParams | None = None,
        latest: bool = False,
        sync: bool = False,
    ) -> Response:
        """Copies the object, also to another bucket.

        Args:
            to_obj: The copy.
            etl: Transformer that it passes through.
            latest: Whether to look for a newer version at the remote home.
            sync: Whether to delete the copy if the object is gone from its remote home.
        """
        params = {
            **self._bucket.qparams,
            const.QPARAM_OBJ_TO: to_obj.uname,
            const.QPARAM_LATEST: str(latest).lower(),
            const.QPARAM_SYNC: str(sync).lower(),
        }
        if etl:
            etl.update_qparams(params)
        return self._client.request("PUT", self._path, params=params)

    def rename(self, to_obj_name: str) -> Object:
        """Gives the object another name in its bucket; an object of that name is replaced.

        Returns:
            The object under its new name.
        """
        body = ActionMsg(action=const.ACT_RENAME_OBJECT, name=to_obj_name).model_dump()
        self._client.request("POST", self._path, params=self._bucket.qparams, json=body)
        return Object(self._client, self._bucket, to_obj_name)

    def get_semantic_url(self) -> str:
        """`provider://bucket/object`."""
        return f"{self._bucket.provider.value}://{self._bucket.name}/{self._name}"

    def get_url(self, archpath: str = "", etl: QueryParams | None = None) -> str:
        """URL of the object, or of a file inside it, for other HTTP clients."""
        params = dict(self._bucket.qparams)
        if archpath:
            params[const.QPARAM_ARCHPATH] = archpath
        if etl:
            etl.update_qparams(params)
        return self._client.get_full_url(self._path, params)

    @property
    def _path(self) -> str:
        return object_path(self._bucket.name, self._name)

    def delete(self) -> Response:
        """Deletes the object.

        Raises:
            ErrObjNotFound: There is no such object.
        """
        return Response.wrap(self._client.native.delete(self._bucket.path, self._name, pairs(None)))

    def __repr__(self) -> str:
        return f"Object({self.get_semantic_url()!r})"


def _check_reader(
    byte_range: str | None, num_workers: int | None, *, blob: bool, etl: bool
) -> None:
    if byte_range and blob:
        raise ValueError("byte_range cannot be used with blob_download_config")
    if num_workers is None:
        return
    if num_workers < 2:  # noqa: PLR2004 - one reader is no parallel read
        raise ValueError(f"num_workers {num_workers}: expected at least 2")
    if byte_range or blob or etl:
        raise ValueError("num_workers cannot be used with byte_range, blob_download_config or etl")
