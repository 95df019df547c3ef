"""The package version: also the level of the Python interface that it offers."""

__version__ = "2.0.0"
