//! Functions of the program, calls of them, and throws.

use backstop::isa::Instr;
use backstop::model::BuiltinKfunc;

use super::body::Writer;
use super::state::{Few, Kind, reg};

/// What a function is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Main,
    /// Proved at each call.
    Static,
    /// Proved once.
    Global,
    /// Called back by `bpf_loop`.
    Loop,
    /// Called back by `bpf_for_each_map_elem`.
    Each,
    /// The exception callback.
    Exception,
}

/// A function of the program.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) role: Role,
    /// Arguments, from r1.
    pub(super) args: Vec<Kind>,
    /// Frames of the deepest chain that ends in it. Calls go to higher levels only.
    pub(super) level: usize,
    /// Nothing in it may throw: a callback, or called from one.
    pub(super) no_throw: bool,
    /// Nothing in it may tail call.
    pub(super) no_tail_call: bool,
    /// How often it is entered in one run, about.
    pub(super) heat: usize,
    /// It begins with a tail call.
    pub(super) tail_calls: bool,
}

impl Function {
    pub(super) fn main(args: Vec<Kind>, throws: bool) -> Function {
        let no_throw = !throws;
        Function { role: Role::Main, args, level: 1, no_throw, no_tail_call: false, heat: 1, tail_calls: false }
    }

    pub(super) fn exception() -> Function {
        let args = vec![Kind::Scalar];
        Function {
            role: Role::Exception,
            args,
            level: 1,
            no_throw: true,
            no_tail_call: true,
            heat: 1,
            tail_calls: false,
        }
    }
}

/// Where an argument of a call comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    /// A number.
    Imm(i32),
    /// Another register, which no argument before it overwrites.
    Copy(usize),
    /// An address in the own frame.
    Stack(i16),
    /// A map.
    Map(i32),
    /// The address of a map's value.
    MapValue(i32),
    /// A function.
    Function(usize),
}

/// Registers that arguments can be taken from: setting r1 to r5 does not change them.
pub(super) const SAFE: [usize; 5] = [0, 6, 7, 8, 9];

impl Writer<'_, '_> {
    /// A number for an argument.
    pub(super) fn given_number(&mut self) -> Given {
        let scalars: Few = SAFE.into_iter().filter(|n| self.state.get(*n) == Kind::Scalar).collect();
        match self.source.pick(&scalars) {
            Some(n) if self.source.chance(96) => Given::Copy(n),
            _ if self.source.chance(128) => Given::Imm(self.source.number() as i32),
            _ => Given::Imm(self.source.below(4) as i32),
        }
    }

    /// A pointer of this kind for the argument in register `arg`, if there is one.
    pub(super) fn given_pointer(&mut self, kind: Kind, arg: usize) -> Option<Given> {
        let from: Few = SAFE.into_iter().chain([arg]).filter(|n| self.state.get(*n) == kind).collect();
        self.source.pick(&from).map(Given::Copy)
    }

    /// Sets r1 and what follows it.
    pub(super) fn give(&mut self, args: &[Given]) {
        for (n, given) in args.iter().enumerate() {
            let to = reg(n + 1);
            match *given {
                Given::Imm(imm) => self.code.set(to, imm),
                Given::Copy(from) if from == n + 1 => {}
                Given::Copy(from) => self.code.copy(to, reg(from)),
                Given::Stack(off) => {
                    self.code.copy(to, backstop::isa::Reg::R10);
                    self.code.add(to, i32::from(off));
                }
                Given::Map(imm) => {
                    let kind = backstop::isa::Pseudo::MapIdx;
                    self.code.push(Instr::LoadPseudo { dst: to, kind, imm, next_imm: 0 });
                }
                Given::MapValue(imm) => {
                    let kind = backstop::isa::Pseudo::MapValueIdx;
                    self.code.push(Instr::LoadPseudo { dst: to, kind, imm, next_imm: 0 });
                }
                Given::Function(function) => self.code.function_address(to, function),
            }
        }
    }

    /// Adds a function one level below the present one.
    pub(super) fn add_function(&mut self, role: Role, args: Vec<Kind>, rounds: usize) -> Option<usize> {
        let here = self.function_here()?.clone();
        if here.level >= self.shape.frames || !self.may_add_function() {
            return None;
        }
        let called_back = matches!(role, Role::Loop | Role::Each);
        self.functions.push(Function {
            role,
            args,
            level: here.level + 1,
            no_throw: here.no_throw || called_back,
            no_tail_call: here.no_tail_call || called_back,
            heat: self.heat * rounds.max(1),
            tail_calls: false,
        });
        Some(self.functions.len() - 1)
    }

    /// Calls a function of the program.
    pub(super) fn call(&mut self) {
        if self.holds() {
            return;
        }
        let known = self.callable();
        let reused = if self.source.chance(96) { self.source.pick(&known) } else { None };
        let (number, args) = match reused {
            Some(number) => match self.args_for(number) {
                Some(args) => (number, args),
                None => return,
            },
            None => match self.new_function() {
                Some(made) => made,
                None => return,
            },
        };
        self.give(&args);
        self.code.call_function(number);
        self.state.after_call(Kind::Scalar);
    }

    fn callable(&self) -> Vec<usize> {
        let Some(here) = self.function_here() else { return Vec::new() };
        let fits = |(number, f): &(usize, &Function)| {
            *number > self.current
                && matches!(f.role, Role::Static | Role::Global)
                && f.level > here.level
                && (f.no_throw || !here.no_throw)
                && (f.no_tail_call || !here.no_tail_call)
                && self.heat <= 2 * f.heat
        };
        self.functions.iter().enumerate().filter(fits).map(|(number, _)| number).collect()
    }

    fn args_for(&mut self, number: usize) -> Option<Vec<Given>> {
        let kinds = self.functions.get(number)?.args.clone();
        let mut args = Vec::new();
        for (n, kind) in kinds.into_iter().enumerate() {
            args.push(if kind == Kind::Scalar { self.given_number() } else { self.given_pointer(kind, n + 1)? });
        }
        Some(args)
    }

    pub(super) fn new_function(&mut self) -> Option<(usize, Vec<Given>)> {
        let role = if self.source.chance(64) { Role::Global } else { Role::Static };
        let count = self.source.below(4);
        let pointers: Few = SAFE
            .into_iter()
            .filter(|n| self.state.get(*n).is_pointer() && !matches!(self.state.get(*n), Kind::Packet { .. }))
            .collect();
        let (mut kinds, mut args) = (Vec::new(), Vec::new());
        // What tail calls and reads the packet needs the context.
        let context = pointers.iter().copied().find(|n| self.state.get(*n) == Kind::Ctx);
        if let Some(from) = context.filter(|_| role == Role::Static && count > 0 && self.source.chance(128)) {
            kinds.push(Kind::Ctx);
            args.push(Given::Copy(from));
        }
        while args.len() < count {
            match self.source.pick(&pointers) {
                Some(from) if role == Role::Static && self.source.chance(160) => {
                    kinds.push(self.state.get(from));
                    args.push(Given::Copy(from));
                }
                _ => {
                    kinds.push(Kind::Scalar);
                    args.push(self.given_number());
                }
            }
        }
        Some((self.add_function(role, kinds, 1)?, args))
    }

    /// A call of a function that tail calls, with a number kept over it that counts for what follows.
    pub(super) fn call_tail_calling(&mut self) {
        let kept: Few =
            self.state.writable().into_iter().filter(|n| *n >= 6 && !self.state.get(*n).is_pointer()).collect();
        let context = self.given_pointer(Kind::Ctx, 1);
        let no_tail_call = self.function_here().is_none_or(|f| f.no_tail_call) || self.holds();
        let (Some(kept), Some(context), false) = (self.source.pick(&kept), context, no_tail_call) else { return };
        let Some(number) = self.add_function(Role::Static, vec![Kind::Ctx], 1) else { return };
        if let Some(function) = self.functions.get_mut(number) {
            function.tail_calls = true;
        }
        let value = self.source.below(4) as i32;
        self.code.set(reg(kept), value);
        self.state.set(kept, Kind::Scalar);
        self.give(&[context]);
        self.code.call_function(number);
        self.state.after_call(Kind::Scalar);
        self.code.add(reg(kept), 1);
        if self.source.chance(192) {
            let always = self.source.chance(128);
            self.throw_with(Given::Copy(kept), always);
        }
    }

    /// A throw, most often under a condition.
    pub(super) fn maybe_throw(&mut self) {
        let always = self.source.chance(16);
        self.throw(always);
    }

    /// A throw, if nothing stands against it.
    pub(super) fn throw(&mut self, always: bool) {
        if self.function_here().is_none_or(|f| f.no_throw) || self.holds() {
            return;
        }
        let cookie = self.given_number();
        self.throw_with(cookie, always);
    }

    fn throw_with(&mut self, cookie: Given, always: bool) {
        if self.function_here().is_none_or(|f| f.no_throw) || self.holds() {
            return;
        }
        let over = self.code.label();
        if !always {
            self.unless(over);
        }
        let before = self.state.clone();
        let cookie = match (self.range(), self.functions.iter().any(|f| f.role == Role::Exception)) {
            (Some((min, _)), false) => Given::Imm(min as i32),
            _ => cookie,
        };
        self.kfunc(BuiltinKfunc::Throw, &[cookie], Kind::Unknown);
        self.state = before;
        self.code.place(over);
    }
}
