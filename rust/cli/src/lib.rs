//! The ais command line.
