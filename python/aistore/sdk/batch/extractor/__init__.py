"""Readers of the archives that batches come as."""
