"""Objects one after the other, with explicit control over GetBatch."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import TYPE_CHECKING

from aistore.pytorch._show import counted
from aistore.pytorch.base_iter_dataset import AISBaseIterDataset
from aistore.sdk.enums import Colocation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.pytorch._sources import Prefixes, Sources
    from aistore.sdk.client import Client

_DEFAULT_BATCH = 32


class AISBatchIterDataset(AISBaseIterDataset[tuple[str, bytes]]):
    """Pairs of name and content, with one GetBatch per `max_batch_size` objects.

    Args:
        ais_source_list: A source or several.
        client: Sends the batches.
        prefix_map: Prefixes to list, by source; everything of sources that are not in it.
        show_progress: Whether to show progress on the terminal.
        max_batch_size: Objects per request.
        output_format: Format of the archive that carries them.
        streaming: Whether it comes as a stream.
        colocation: Hint for choosing the target that assembles it.
        partition_sources_by_worker: Whether workers share sources instead of objects.
        cont_on_err: Whether missing objects are skipped with a warning.
        shard_by_rank: Whether the ranks of `torch.distributed` share the objects too.

    Raises:
        ValueError: There is no source, or `max_batch_size` is less than 1.
    """

    def __init__(
        self,
        ais_source_list: Sources,
        client: Client,
        prefix_map: Prefixes = None,
        show_progress: bool = False,
        max_batch_size: int = _DEFAULT_BATCH,
        output_format: str = ".tar",
        streaming: bool = True,
        colocation: Colocation = Colocation.NONE,
        partition_sources_by_worker: bool = False,
        cont_on_err: bool = False,
        *,
        shard_by_rank: bool = False,
    ) -> None:
        super().__init__(
            ais_source_list, prefix_map, partition_sources_by_worker, shard_by_rank=shard_by_rank
        )
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size {max_batch_size}: expected at least 1")
        self._client = client
        self._show_progress = show_progress
        self._max_batch_size = max_batch_size
        self._output_format = output_format
        self._streaming = streaming
        self._colocation = colocation
        self._cont_on_err = cont_on_err

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Reads this worker's objects in order.

        Raises:
            RuntimeError: An object is missing, without `cont_on_err`.
        """
        return counted(self._read(), show=self._show_progress, unit="object")

    def _read(self) -> Iterator[tuple[str, bytes]]:
        objects = self._own_objects()
        while group := list(islice(objects, self._max_batch_size)):
            batch = self._client.batch(
                group,
                output_format=self._output_format,
                cont_on_err=self._cont_on_err,
                streaming_get=self._streaming,
                colocation=self._colocation,
            )
            for out, content in batch.get():
                if not out.err_msg:
                    yield out.obj_name, content
                elif self._cont_on_err:
                    warnings.warn(f"skipping {out.obj_name}: {out.err_msg}", stacklevel=2)
                else:
                    raise RuntimeError(f"{out.obj_name}: {out.err_msg}")
