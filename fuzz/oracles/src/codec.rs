//! Decoding, encoding, assembling and disassembling are each other's inverse.

use backstop::isa::{Slot, assemble, decode, decode_all, disassemble, encode_all, slots_from_bytes, slots_to_bytes};

use crate::Outcome;

/// Instructions from bytes, and text from bytes.
///
/// # Panics
/// If a round trip does not come back to where it began.
pub fn codec(data: &[u8]) -> Outcome {
    let slots = from_bytes(data);
    let text = from_text(data);
    slots.max(text)
}

fn from_bytes(data: &[u8]) -> Outcome {
    let whole = &data[..data.len() - data.len() % 8];
    let Ok(slots) = slots_from_bytes(whole) else { return Outcome::Refused };
    assert_eq!(slots_to_bytes(&slots), whole, "slots to bytes is not the way back");
    each_alone(&slots);
    // A listing is made of anything, and reads back to the same slots.
    let listing = disassemble(&slots);
    match assemble(&listing) {
        Ok(again) => assert_eq!(again, slots, "the listing reads back to other slots:\n{listing}"),
        Err(error) => panic!("the listing does not read back: {error}\n{listing}"),
    }
    let Ok(program) = decode_all(&slots) else { return Outcome::Refused };
    let instrs: Vec<_> = program.iter().map(|(_, instr)| *instr).collect();
    assert_eq!(encode_all(&instrs), slots, "encoding is not decoding's way back:\n{listing}");
    Outcome::Held
}

fn each_alone(slots: &[Slot]) {
    for at in 0..=slots.len() {
        match decode(slots, at) {
            Ok(instr) => {
                let encoded = instr.encode();
                let taken = slots.get(at..at + instr.slots());
                assert_eq!(Some(encoded.as_slice()), taken, "slot {at}: {instr}");
                // Legality and text are had of anything that decodes.
                if let Err(illegal) = instr.check_legal() {
                    let _ = (illegal.to_string(), illegal.kernel_text());
                }
            }
            Err(error) => {
                let _ = (error.to_string(), error.kernel_text());
            }
        }
    }
}

fn from_text(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Unusable };
    match assemble(text) {
        Ok(slots) => {
            let listing = disassemble(&slots);
            assert_eq!(assemble(&listing).as_ref(), Ok(&slots), "from text:\n{text}\nlisted as:\n{listing}");
            Outcome::Held
        }
        Err(error) => {
            let _ = error.to_string();
            Outcome::Refused
        }
    }
}
