#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| espstress_fuzz::run("device", bytes));
