//! The programs' names: for the build, which compiles them for this machine, and for the tables.

/// Their names, in the table's order.
pub const PROGRAMS: [&str; 14] = [
    "calls",
    "fib",
    "histogram",
    "isort",
    "jhash",
    "log2",
    "matmul",
    "memcpy",
    "primes",
    "sha256",
    "sieve",
    "strcmp",
    "xxh32",
    "bsearch",
];
