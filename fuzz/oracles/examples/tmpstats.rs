use backstop::*;
use backstop_oracles::*;
use std::collections::BTreeMap;
fn main() {
    let mut m: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut st = Stream::new(7);
    let (mut ok, mut all) = (0, 0);
    let eng = Engine::new(Config::new()).unwrap();
    let mut ops: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2500 {
        let n = 1 << (4 + st.below(8));
        let mut b = st.bytes(n);
        b[0] &= 127;
        let Some(g) = explain("engines", &b) else { continue };
        all += 1;
        std::fs::write("/tmp/w/fuzz-last.bin", &b).unwrap();
        let t0 = std::time::Instant::now();
        let r = backstop::verifier::verify(std::sync::Arc::new(g.program.clone()), &Default::default());
        let el = t0.elapsed();
        if el.as_millis() > 1000 {
            println!(
                "SLOW {:?} {:?}",
                el,
                r.map(|v| *v.stats()).map_err(|e| e.to_string().lines().next().unwrap_or("").to_string())
            );
        };
        match Loaded::from_program(&Linker::<()>::new(&eng), g.program.clone()) {
            Ok(l) => {
                ok += 1;
                let p = l.program("generated").unwrap();
                for c in p.ir().callees() {
                    *ops.entry(format!("{c:?}")).or_default() += 1;
                }
                if p.ir().exception_callback().is_some() {
                    *ops.entry("throws".into()).or_default() += 1;
                }
                if p.ir().funcs().iter().any(|f| f.tail_calls) {
                    *ops.entry("tail".into()).or_default() += 1;
                }
            }
            Err(e) => {
                let t = e.to_string();
                let t = t.lines().next().unwrap_or("").to_string();
                let k: String = t.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
                let en = m.entry(k).or_insert((0, String::new()));
                en.0 += 1;
                if en.1.is_empty() {
                    let mut s = 0;
                    let mut o = String::new();
                    for l in backstop::isa::disassemble(&g.program.slots).lines() {
                        o += &format!("{s} {l}\n");
                        s += 1 + usize::from(l.ends_with(" ll"));
                    }
                    en.1 = format!("{t} {:?}\n{}", g.program.kind.ty, o);
                }
            }
        }
    }
    println!("{ok}/{all}");
    let mut v: Vec<_> = m.into_iter().collect();
    v.sort_by_key(|x| std::cmp::Reverse(x.1.0));
    for (k, (n, ex)) in v.iter().take(25) {
        println!("{n:5} {k}");
        if std::env::args().nth(1).is_some() {
            println!("{ex}");
        }
    }
    println!("{ops:?}");
}
