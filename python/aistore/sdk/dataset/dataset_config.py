"""Local files and labels that are written as shards of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aistore.sdk.const import DEFAULT_DATASET_MAX_COUNT
from aistore.sdk.dataset.data_attribute import DataAttribute
from aistore.sdk.utils import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.dataset.config_attribute import ConfigAttribute

_KEY = "__key__"
_DEFAULT_PATTERN = "dataset"

logger = get_logger(__name__)


class DatasetConfig:
    """What the samples of a dataset consist of.

    Args:
        primary_attribute: Files of which each makes a sample.
        secondary_attributes: What else belongs to a sample, found by the primary file's name.

    Raises:
        TypeError: The primary attribute is not a `DataAttribute`: only files can be counted.
    """

    def __init__(
        self,
        primary_attribute: ConfigAttribute,
        secondary_attributes: list[ConfigAttribute] | None = None,
    ) -> None:
        if not isinstance(primary_attribute, DataAttribute):
            found = type(primary_attribute).__name__
            raise TypeError(f"primary_attribute: expected a DataAttribute, got {found}")
        self.primary_attribute = primary_attribute
        self.secondary_attributes = list(secondary_attributes or ())

    def __repr__(self) -> str:
        return f"DatasetConfig({self.primary_attribute!r}, {self.secondary_attributes!r})"

    def generate_dataset(self, max_shard_items: int) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Samples in the order of the primary files' names, each with what it lacks.

        Args:
            max_shard_items: Most samples of a shard; decides how many digits numbers have.
        """
        primary = self.primary_attribute
        digits = len(str(max_shard_items))
        for number, file in enumerate(sorted(primary.path.glob(f"*.{primary.file_type}"))):
            sample: dict[str, Any] = {_KEY: f"sample_{number:0{digits}}"}
            missing = []
            for attribute in (primary, *self.secondary_attributes):
                key, content = attribute.get_data_for_entry(file.stem)
                if content:
                    sample[key] = content
                else:
                    missing.append(f"{file.stem} - {key}")
            yield sample, missing

    def write_shards(self, skip_missing: bool, **kwargs: Any) -> None:
        """Writes the samples as local tar files, `pattern-0000.tar` and so on.

        Args:
            skip_missing: Whether to leave out samples that lack a part.
            **kwargs: For `webdataset.ShardWriter`: `pattern` (start of the files' paths, default
                `dataset`), `maxcount` (most samples of a shard), `maxsize`, `post`, `encoder`.

        Raises:
            ImportError: webdataset is not installed.
            FileNotFoundError: The directory of the primary files does not exist.
        """
        writer_class = _shard_writer()
        files = self.primary_attribute
        if not files.path.is_dir():
            raise FileNotFoundError(f"{files.path}: not a directory of {files.name} files")
        most = kwargs.get("maxcount", DEFAULT_DATASET_MAX_COUNT)
        kwargs["maxcount"] = most
        start = kwargs.pop("pattern", _DEFAULT_PATTERN)
        # The writer's own format of names: a percent sign of the user's means itself.
        pattern = f"{start.replace('%', '%%')}-%0{len(str(most))}d.tar"
        with writer_class(pattern, **kwargs) as writer:
            for sample, missing in self.generate_dataset(most):
                if missing:
                    verb = "skipping" if skip_missing else "including"
                    logger.warning("missing: %s; %s the sample", ", ".join(missing), verb)
                    if skip_missing:
                        continue
                writer.write(sample)


def _shard_writer() -> Any:
    try:
        from webdataset import ShardWriter  # type: ignore[import-untyped,import-not-found,unused-ignore] # noqa: PLC0415 - optional
    except ImportError as error:
        text = "writing datasets needs webdataset: pip install webdataset"
        raise ImportError(text) from error
    return ShardWriter
