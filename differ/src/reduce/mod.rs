//! The smallest program that still differs: delta debugging over instructions.
//!
//! A candidate is the program with parts gone or made simpler; jumps to what is gone go to what follows it. Whether a candidate is a program
//! at all is up to the verifier, and whether it still shows the fault is up to the caller's test. Each step keeps what it has if the test fails,
//! so the result is never larger than the start, and the number of tests is bounded.

mod listing;
mod simpler;

use backstop::model::Program;

use crate::trial::Difference;
use listing::Listing;

/// Tests that one reduction may take.
const MAX_TESTS: usize = 6000;

/// A program that was made as small as it goes.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The program.
    pub program: Program,
    /// Inputs of its runs.
    pub inputs: Vec<Vec<u8>>,
    /// How it differs.
    pub difference: Difference,
    /// Tests that it took.
    pub tests: usize,
    /// It ended before it was done: a smaller program may differ too.
    pub cut_short: bool,
}

impl Reduced {
    /// Instructions that are left.
    pub fn instructions(&self) -> usize {
        instructions(&self.program)
    }
}

/// Instructions of a program; one that takes two slots counts once.
pub fn instructions(program: &Program) -> usize {
    Listing::of(program).map_or(program.slots.len(), |listing| listing.nodes.len())
}

/// What a test says of a program and its inputs: how it differs, if it does.
pub type Test<'t> = dyn FnMut(&Program, &[Vec<u8>]) -> Option<Difference> + 't;

/// Reduces a program that differs. When `stop` says so it ends with the smallest that it has. `None` if the program does not differ in the
/// test, or its types are not those of a generated program.
pub fn reduce(program: &Program, inputs: &[Vec<u8>], test: &mut Test<'_>, stop: &dyn Fn() -> bool) -> Option<Reduced> {
    let difference = test(program, inputs)?;
    let listing = Listing::of(program)?;
    let mut work = Work { listing, inputs: inputs.to_vec(), difference, tests: 1, cut_short: false, test, stop };
    work.fewer_runs();
    let mut before = usize::MAX;
    // A simplification may open the way for another removal.
    while work.weight() < before && !work.is_over() {
        before = work.weight();
        work.drop_functions();
        work.call_directly();
        work.drop_ranges();
        work.simplify();
    }
    work.drop_tables();
    work.shrink_inputs();
    let program = work.listing.program();
    let Work { inputs, difference, tests, cut_short, .. } = work;
    Some(Reduced { program, inputs, difference, tests, cut_short })
}

struct Work<'t, 'f> {
    listing: Listing,
    inputs: Vec<Vec<u8>>,
    difference: Difference,
    tests: usize,
    cut_short: bool,
    test: &'t mut Test<'f>,
    stop: &'t dyn Fn() -> bool,
}

impl Work<'_, '_> {
    /// Instructions first, then how simple they are.
    fn weight(&self) -> usize {
        self.listing.nodes.len() * 1000 + self.listing.complexity()
    }

    /// No more tests.
    fn is_over(&mut self) -> bool {
        self.cut_short = self.cut_short || self.tests >= MAX_TESTS || (self.stop)();
        self.cut_short
    }

    /// Takes a candidate if it still differs.
    fn take(&mut self, listing: Listing) -> bool {
        let inputs = self.inputs.clone();
        self.take_both(listing, inputs)
    }

    fn take_both(&mut self, listing: Listing, inputs: Vec<Vec<u8>>) -> bool {
        if self.is_over() {
            return false;
        }
        self.tests += 1;
        match (self.test)(&listing.program(), &inputs) {
            Some(difference) => {
                (self.listing, self.inputs, self.difference) = (listing, inputs, difference);
                true
            }
            None => false,
        }
    }

    fn fewer_runs(&mut self) {
        for n in (0..self.inputs.len()).rev() {
            if self.inputs.len() > 1 {
                let mut inputs = self.inputs.clone();
                inputs.remove(n);
                self.take_both(self.listing.clone(), inputs);
            }
        }
    }

    fn drop_functions(&mut self) {
        for n in (1..self.listing.functions.len()).rev() {
            if self.cut_short {
                return;
            }
            if let Some(listing) = self.listing.without_function(n) {
                self.take(listing);
            }
        }
    }

    /// Calls of a function that calls another: the other at once.
    fn call_directly(&mut self) {
        for n in 0..self.listing.nodes.len() {
            for callee in (1..self.listing.functions.len()).rev() {
                if let Some(listing) = self.listing.calling(n, callee)
                    && self.take(listing)
                {
                    break;
                }
            }
        }
        self.drop_functions();
    }

    /// Ever smaller ranges, from the end on: what is computed last is used least.
    fn drop_ranges(&mut self) {
        let mut size = self.listing.nodes.len() / 2;
        while size > 0 && !self.cut_short {
            let mut end = self.listing.nodes.len();
            while end >= size {
                let start = end - size;
                let taken = self.listing.without(start..end).is_some_and(|listing| self.take(listing));
                end = if taken { start.min(self.listing.nodes.len()) } else { end - (size / 2).max(1) };
            }
            size /= 2;
        }
    }

    fn simplify(&mut self) {
        for n in (0..self.listing.nodes.len()).rev() {
            if self.cut_short {
                return;
            }
            for simpler in simpler::than(&self.listing, n) {
                if self.take(simpler) {
                    break;
                }
            }
        }
        self.merge_copies();
        self.show_directly();
        self.drop_pairs();
    }

    /// What a branch decides about, in place of a number that it decides about.
    fn show_directly(&mut self) {
        for n in (0..self.listing.nodes.len()).rev() {
            for listing in simpler::without_branch(&self.listing, n) {
                if self.take(listing) {
                    break;
                }
            }
        }
    }

    /// What a copy is used for, from the copied register.
    fn merge_copies(&mut self) {
        for n in (0..self.listing.nodes.len()).rev() {
            if let Some(listing) = self.listing.without_copy(n) {
                self.take(listing);
            }
        }
    }

    /// Two instructions at once, close to each other: what is saved and brought back, or set and used.
    fn drop_pairs(&mut self) {
        let mut first = self.listing.nodes.len();
        while first > 0 && !self.cut_short {
            first -= 1;
            for second in first + 2..(first + 12).min(self.listing.nodes.len()) {
                let without = self.listing.without(second..second + 1).and_then(|l| l.without(first..first + 1));
                if without.is_some_and(|listing| self.take(listing)) {
                    break;
                }
            }
        }
    }

    fn drop_tables(&mut self) {
        let listing = self.listing.without_unused();
        self.take(listing);
    }

    fn shrink_inputs(&mut self) {
        for n in 0..self.inputs.len() {
            let len = self.inputs.get(n).map_or(0, Vec::len);
            let zero = |from: usize, to: usize, inputs: &[Vec<u8>]| {
                let mut inputs = inputs.to_vec();
                let range = inputs.get_mut(n).and_then(|input| input.get_mut(from..to));
                range.into_iter().flatten().for_each(|byte| *byte = 0);
                inputs
            };
            let inputs = zero(0, len, &self.inputs);
            if self.take_both(self.listing.clone(), inputs) {
                continue;
            }
            for from in (0..len).step_by(8) {
                let inputs = zero(from, (from + 8).min(len), &self.inputs);
                self.take_both(self.listing.clone(), inputs);
            }
        }
    }
}
