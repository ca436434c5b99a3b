//! The log's text of a scalar, as Linux 6.18 prints it.

use backstop_isa::{AluOp, CmpOp, Width};
use backstop_verifier::domain::{Precision, Scalar, Tnum, alu, mov32, refine};

fn after(op: AluOp, width: Width, dst: Scalar, imm: i32) -> Scalar {
    alu(op, width, &dst, &Scalar::constant(imm as i64 as u64), Precision::Linux)
}

#[test]
fn constants_are_plain_numbers() {
    let text = |n: i64| Scalar::constant(n as u64).to_string();
    assert_eq!(text(0), "0");
    assert_eq!(text(-192), "-192");
    assert_eq!(text(32767), "32767");
    assert_eq!(text(32768), "0x8000");
    assert_eq!(text(-32768), "-32768");
    assert_eq!(text(-32769), "0xffffffffffff7fff");
    assert_eq!(text(0x178c_31fc_6757), "0x178c31fc6757");
}

#[test]
fn equal_bounds_are_joined() {
    let unknown = Scalar::unknown();
    assert_eq!(unknown.to_string(), "scalar()");
    assert_eq!(
        Scalar::from_size(1).to_string(),
        "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"
    );
    assert_eq!(Scalar::from_signed_size(1).to_string(), "scalar(smin=smin32=-128,smax=smax32=127)");
    assert_eq!(mov32(&unknown).to_string(), "scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))");
    assert_eq!(
        after(AluOp::Or, Width::W64, Scalar::from_tnum(Tnum::new(0, 1)), -10604).to_string(),
        "scalar(smin=smin32=-10604,smax=smax32=-10603,umin=0xffffffffffffd694,umax=0xffffffffffffd695,\
         umin32=0xffffd694,umax32=0xffffd695,var_off=(0xffffffffffffd694; 0x1))"
    );
}

#[test]
fn hexadecimal_halves_are_not_sign_extended() {
    let mask = after(AluOp::Arsh, Width::W32, Scalar::from_signed_size(1), 24);
    assert_eq!(mask.to_string(), "scalar(smin=0,smax=umax=0xffffffff,smin32=-1,smax32=0,var_off=(0x0; 0xffffffff))");
    let ways = refine(CmpOp::Sge, Width::W32, &Scalar::unknown(), &Scalar::constant(40000), Precision::Linux);
    let texts = [ways.taken, ways.not_taken].map(|way| way.map(|(s, _)| s.to_string()));
    assert_eq!(
        texts[0].as_deref(),
        Some(
            "scalar(smin=0x8000000000009c40,smax=0x7fffffff7fffffff,umin=smin32=umin32=40000,umax=0xffffffff7fffffff,umax32=0x7fffffff,var_off=(0x0; 0xffffffff7fffffff))"
        )
    );
    assert_eq!(texts[1].as_deref(), Some("scalar(smax32=0x9c3f)"));
}

#[test]
fn bounds_follow_what_stands_before_them() {
    let mut text = String::from("id=1");
    assert!(Scalar::from_size(2).write_bounds(&mut text, true).is_ok());
    assert_eq!(text, "id=1,smin=smin32=0,smax=umax=smax32=umax32=0xffff,var_off=(0x0; 0xffff)");
    text.clear();
    assert!(Scalar::unknown().write_bounds(&mut text, true).is_ok());
    assert_eq!(text, "");
}
