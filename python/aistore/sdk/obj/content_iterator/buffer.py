"""Memory that a parallel read fills."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class ParallelBuffer:
    """A block of private memory, given back to the system when it is closed.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._size = size
        self._memory = mmap.mmap(-1, max(size, 1), flags=flags)
        self._view: memoryview | None = memoryview(self._memory)[:size]

    @property
    def buf(self) -> memoryview:
        """The content, without a copy.

        Raises:
            ValueError: The buffer is closed.
        """
        if self._view is None:
            raise ValueError("the buffer is closed")
        return self._view

    @property
    def name(self) -> str:
        """Always empty: the memory is anonymous."""
        return ""

    def __len__(self) -> int:
        return self._size

    def tobytes(self) -> bytes:
        """A copy of the content."""
        return self.buf.tobytes()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The content for numpy, without a copy unless one is asked for; outlives `close`."""
        import numpy as np  # noqa: PLC0415 - only for those who have it

        content = np.frombuffer(self.buf, np.uint8)
        return np.array(content, dtype) if copy or dtype not in {None, content.dtype} else content

    def __dlpack__(self, **options: Any) -> Any:
        """The content for what takes DLPack, such as `torch.from_dlpack`, without a copy."""
        return self.__array__().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Memory of the processor."""
        device: tuple[int, int] = self.__array__().__dlpack_device__()
        return device

    def close(self) -> None:
        """Gives the memory back; closing again does nothing."""
        view, self._view = self._view, None
        if view is None:
            return
        try:
            view.release()
            self._memory.close()
        except BufferError:
            # The caller still holds a view of it; the memory goes when that does.
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a ParallelBuffer does not pickle: send tobytes() instead")
