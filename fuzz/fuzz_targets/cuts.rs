#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aistore_fuzz::cuts(data));
