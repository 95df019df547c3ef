"""Answers with several parts."""
