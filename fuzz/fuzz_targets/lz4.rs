#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aistore_fuzz::lz4(data));
