"""Selecting a transformer for a read."""

from aistore.sdk.etl.etl_config import ETLConfig

__all__ = ["ETLConfig"]
