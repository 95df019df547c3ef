//! Properties that hold for any input, through the public interface.

mod checksums;
mod names;
mod patches;
