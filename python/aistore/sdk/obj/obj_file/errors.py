"""Errors of objects as files."""

from __future__ import annotations


class ObjectFileReaderStreamError(Exception):
    """Reading cannot go on: the object changed, or the answer makes no sense."""

    def __init__(self, err: Exception | str) -> None:
        super().__init__(str(err))
        self.original_error = err

    def __reduce__(self) -> tuple[type[ObjectFileReaderStreamError], tuple[Exception | str]]:
        return type(self), (self.original_error,)


class ObjectFileReaderMaxResumeError(Exception):
    """The connection broke more often than `max_resume` allows."""

    def __init__(self, err: Exception, max_retries: int) -> None:
        super().__init__(
            f"Object file reader gave up after {max_retries} resumptions: {err};"
            " raise max_resume if the network is known to be poor"
        )
        self.original_error = err
        self.max_retries = max_retries

    def __reduce__(self) -> tuple[type[ObjectFileReaderMaxResumeError], tuple[Exception, int]]:
        return type(self), (self.original_error, self.max_retries)


class ObjectFileReaderUnexpectedEOF(Exception):
    """The stream ended before its announced length."""

    def __init__(self, actual: int, expected: int) -> None:
        super().__init__(f"stream ended after {actual} of {expected} bytes")
        self.actual, self.expected = actual, expected

    def __reduce__(self) -> tuple[type[ObjectFileReaderUnexpectedEOF], tuple[int, int]]:
        return type(self), (self.actual, self.expected)
