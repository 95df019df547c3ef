//! PyO3 module aistore._native: client, node and CLI entry points.
