//! See `backstop_oracles::embedding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| -> libfuzzer_sys::Corpus {
    backstop_fuzz::keep(backstop_oracles::embedding(data))
});
