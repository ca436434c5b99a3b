//! Programs without privileges: precision is not tracked for them, so every scalar of a kept state counts.

#[allow(dead_code, reason = "other tests use the rest")]
mod cases_support;

use std::sync::Arc;

use backstop_verifier::{Options, verify};

use cases_support::{build, corpus};

/// The path through `a` is walked last and reaches `b`, where a state with r6 = 0 was kept.
const JOIN: &str = "join
type: socket_filter
map: m array 4 8 1
r6 = 0
call get_prandom_u32
r7 = r0
if r7 == 1 goto +0
if r7 == 2 goto +0
if r7 == 3 goto +0
if r7 == 4 goto +0
if r7 == 7 goto a
r7 = 1
r7 = 2
r7 = 3
r7 = 4
r7 = 5
r7 = 6
b: r7 = 0
.repeat 10
r7 = 0
.end
if r7 == 1 goto +0
if r7 == 2 goto +0
c: r1 = map[0][0] ll
VALUE
r0 = 0
exit
a: r6 = 100
goto b
";

/// Verdicts with and without `compat_linux`.
fn accepted(value: &str, unprivileged: bool) -> [bool; 2] {
    let case = corpus::read_case("unprivileged", &JOIN.replace("VALUE", value));
    let program = Arc::new(build::program(&case).expect("a program"));
    [true, false].map(|compat_linux| {
        verify(program.clone(), &Options { compat_linux, unprivileged, ..Options::default() }).is_ok()
    })
}

#[test]
fn a_scalar_out_of_bounds_is_not_pruned_away() {
    for unprivileged in [false, true] {
        assert_eq!(accepted("r6 &= 7\nr1 += r6\nr0 = *(u8 *)(r1 + 0)", unprivileged), [true; 2]);
        let verdicts = accepted("r1 += r6\nr0 = *(u8 *)(r1 + 0)", unprivileged);
        assert_eq!(verdicts, [false; 2], "unprivileged: {unprivileged}");
    }
}
