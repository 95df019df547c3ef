//! The server: listeners, native API, request routing, metrics.
