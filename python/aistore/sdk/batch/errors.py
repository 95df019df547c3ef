"""Errors of batches."""

from __future__ import annotations


class MultipartDecodeError(Exception):
    """An answer that should have several parts does not."""
