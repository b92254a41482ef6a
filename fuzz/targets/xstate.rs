#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| mainspring_fuzz::xstate(text));
