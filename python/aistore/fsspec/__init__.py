"""`ais://bucket/object` for fsspec, and so for pandas, pyarrow, Polars, HF datasets and others.

fsspec finds this by itself (entry point `fsspec.specs`); nothing needs to be imported:

    pandas.read_parquet("ais://bucket/table.parquet", storage_options={"endpoint": "http://..."})

The endpoint may also come from `AIS_ENDPOINT`. Needs `pip install aistore[fsspec]`.
"""

from aistore.fsspec.filesystem import AISFileSystem

__all__ = ["AISFileSystem"]
