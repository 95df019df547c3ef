"""Uploading many objects to a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aistore._progress import progress
from aistore.sdk._bucket_identity import BucketIdentity
from aistore.sdk.utils import get_logger, validate_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    from aistore.sdk.dataset.dataset_config import DatasetConfig

_UPLOADS_AT_ONCE = 8


class BucketUploads(BucketIdentity):
    """The part of a bucket's interface that uploads."""

    def put_many(
        self,
        items: Iterable[tuple[str, bytes | str | PathLike[str]]],
        *,
        concurrency: int = _UPLOADS_AT_ONCE,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Uploads many objects at once.

        Args:
            items: Names with contents (`bytes`) or paths of files (text or path-like).
            concurrency: Uploads at a time.
            progress: Called now and then with objects and bytes sent so far.

        Raises:
            AISError: An upload failed; others may have been done.
            OSError: A file cannot be read.
        """
        prepared = [
            (name, content if isinstance(content, bytes) else str(content))
            for name, content in items
        ]
        if prepared:
            self.client.native.put_many(self._details.path, prepared, concurrency, progress)

    def put_files(
        self,
        path: str | PathLike[str],
        prefix_filter: str = "",
        pattern: str = "*",
        basename: bool = False,
        prepend: str | None = None,
        recursive: bool = False,
        dry_run: bool = False,
        verbose: bool = True,
        *,
        concurrency: int = _UPLOADS_AT_ONCE,
    ) -> list[str]:
        """Uploads the files of a directory, several at a time.

        Args:
            path: The directory.
            prefix_filter: Only files whose names start with it.
            pattern: Only files that match this shell pattern.
            basename: Names objects by the files' names alone instead of their relative paths.
            prepend: Text in front of each object's name.
            recursive: Whether to descend into subdirectories.
            dry_run: Only tell what would be done.
            verbose: Whether to show progress and log what was done.
            concurrency: Uploads at a time.

        Returns:
            Names of the objects.

        Raises:
            ValueError: `path` is not a directory, or two files would get the same name.
        """
        validate_directory(path)
        root = Path(path)
        found = sorted(root.rglob(pattern) if recursive else root.glob(pattern))
        uploads: dict[str, Path] = {}
        for file in found:
            if not file.is_file() or not file.name.startswith(prefix_filter):
                continue
            name = (prepend or "") + (file.name if basename else file.relative_to(root).as_posix())
            if name in uploads:
                raise ValueError(
                    f"{uploads[name]} and {file} would both become {name!r}: use basename=False"
                )
            uploads[name] = file
        if not dry_run and uploads:
            total = sum(file.stat().st_size for file in uploads.values())
            with progress(total, f"put {self._name}", show=verbose) as advance_to:
                self.put_many(
                    uploads.items(),
                    concurrency=concurrency,
                    progress=lambda _objects, sent: advance_to(sent),
                )
        if verbose:
            verb = "would upload" if dry_run else "uploaded"
            get_logger(__name__).info("%s %d files to %s", verb, len(uploads), self)
        return list(uploads)

    def write_dataset(
        self, config: DatasetConfig, skip_missing: bool = True, **kwargs: Any
    ) -> None:
        """Writes samples of local files and labels to the bucket, as tar shards.

        Each shard is written to the working directory, uploaded with its path as name, and removed.

        Args:
            config: What the samples consist of.
            skip_missing: Whether to leave out samples that lack a part.
            **kwargs: For `webdataset.ShardWriter`: `pattern` (start of the shards' names, default
                `dataset`), `maxcount` (most samples of a shard), `maxsize`, `encoder`; `post` is
                called with each shard's path before it is uploaded.

        Raises:
            ImportError: webdataset is not installed.
            AISError: A shard was not uploaded; it is left in the working directory.
        """
        before = kwargs.pop("post", None)

        def upload(path: str) -> None:
            if before is not None:
                before(path)
            self.object(path).get_writer().put_file(path)
            Path(path).unlink()

        config.write_shards(skip_missing, post=upload, **kwargs)
