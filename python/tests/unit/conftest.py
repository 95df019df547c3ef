"""Fixtures of the unit tests."""

from unit.fakes import native

__all__ = ["native"]
