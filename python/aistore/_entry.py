"""Console entry points. `python -m aistore._entry ais …` and `… aisnode …` work as well."""

from __future__ import annotations

import signal
import sys

_USAGE_ERROR = 2


def ais() -> int:
    """Runs the command line and returns its exit code."""
    from aistore import _native  # noqa: PLC0415 - the import is the only cost at start

    # As other command-line tools: Ctrl-C and a closed pipe end the process, silently and at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return _native.ais_main(["ais", *sys.argv[1:]])


def aisnode() -> int:
    """Runs a cluster node until it is told to stop and returns its exit code."""
    from aistore import _native  # noqa: PLC0415 - the import is the only cost at start

    # The node handles SIGINT and SIGTERM itself; without this, Python would note SIGINT and go on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.node_main(["aisnode", *sys.argv[1:]])


_PROGRAMS = {"ais": ais, "aisnode": aisnode}


def main() -> int:
    """Picks the program by the first argument."""
    program = _PROGRAMS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if program is None:
        print("usage: python -m aistore._entry {ais|aisnode} [arguments]", file=sys.stderr)  # noqa: T201
        return _USAGE_ERROR
    del sys.argv[1]
    return program()


if __name__ == "__main__":
    sys.exit(main())
