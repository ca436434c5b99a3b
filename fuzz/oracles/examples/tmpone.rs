use backstop_oracles::*;
fn main() {
    let b = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let g = explain("engines", &b).unwrap();
    let mut s = 0;
    for l in backstop::isa::disassemble(&g.program.slots).lines() {
        println!("{s} {l}");
        s += 1 + usize::from(l.ends_with(" ll"));
    }
    println!("{:?} {:?}", g.program.kind.ty, g.program.func_info);
    for n in [1000u64, 10000, 30000, 100000, 300000] {
        let t0 = std::time::Instant::now();
        let r = backstop::verifier::verify(
            std::sync::Arc::new(g.program.clone()),
            &backstop::verifier::Options {
                limits: backstop::verifier::Limits { insns: n, ..Default::default() },
                ..Default::default()
            },
        );
        println!(
            "{n} {:?} {:?}",
            t0.elapsed(),
            r.map(|v| *v.stats()).map_err(|e| e.to_string().lines().next().unwrap_or("").to_string())
        );
    }
}
