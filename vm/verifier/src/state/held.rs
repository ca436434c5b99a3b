//! What a path holds: references, locks and sections that must be given back before it may end.

/// What a held entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RefKind {
    /// A reference to an object, a ring buffer record or an open iterator.
    Pointer,
    /// A spin lock: which lookup and which map or object type it lies in.
    Lock { id: u32, place: u64 },
    /// A resilient spin lock, likewise; `irq`: taken with interrupts off.
    ResLock { id: u32, place: u64, irq: bool },
    /// A saved irq flag.
    Irq,
}

/// One thing held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ref {
    pub id: u32,
    /// Where it was acquired.
    pub insn: u32,
    pub kind: RefKind,
}

/// All that is held, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub refs: Vec<Ref>,
    pub locks: u32,
    pub active_lock_id: u32,
    pub active_lock_place: u64,
    pub rcu: u32,
    pub preempt: u32,
    /// Id of the innermost saved irq flag, 0 if none.
    pub irq_id: u32,
}

impl Held {
    pub fn acquire(&mut self, id: u32, insn: u32, kind: RefKind) {
        self.refs.push(Ref { id, insn, kind });
    }

    /// Gives a reference back; false if it is not held.
    pub fn release_pointer(&mut self, id: u32) -> bool {
        match self.refs.iter().position(|r| r.id == id && r.kind == RefKind::Pointer) {
            Some(i) => {
                self.refs.remove(i);
                true
            }
            None => false,
        }
    }

    pub fn has_lock(&self, id: u32, place: u64) -> bool {
        self.refs.iter().any(|r| r.kind == RefKind::Lock { id, place })
    }

    pub fn lock(&mut self, new_id: u32, insn: u32, id: u32, place: u64) {
        self.acquire(new_id, insn, RefKind::Lock { id, place });
        self.locks += 1;
        self.active_lock_id = id;
        self.active_lock_place = place;
    }

    pub fn unlock(&mut self, id: u32, place: u64) -> bool {
        let Some(i) = self.refs.iter().rposition(|r| r.kind == RefKind::Lock { id, place }) else { return false };
        self.drop_lock(i);
        true
    }

    fn drop_lock(&mut self, at: usize) {
        self.refs.remove(at);
        self.locks = self.locks.saturating_sub(1);
        let outer = self.refs.iter().rev().find_map(|r| match r.kind {
            RefKind::Lock { id, place } | RefKind::ResLock { id, place, .. } => Some((id, place)),
            _ => None,
        });
        (self.active_lock_id, self.active_lock_place) = outer.unwrap_or((0, 0));
    }

    pub fn has_res_lock(&self, id: u32, place: u64) -> bool {
        self.has_res_lock_of(id, place, false) || self.has_res_lock_of(id, place, true)
    }

    pub fn has_res_lock_of(&self, id: u32, place: u64, irq: bool) -> bool {
        self.refs.iter().any(|r| r.kind == RefKind::ResLock { id, place, irq })
    }

    pub fn lock_resilient(&mut self, new_id: u32, insn: u32, id: u32, place: u64, irq: bool) {
        self.acquire(new_id, insn, RefKind::ResLock { id, place, irq });
        self.locks += 1;
        self.active_lock_id = id;
        self.active_lock_place = place;
    }

    pub fn unlock_resilient(&mut self, id: u32, place: u64, irq: bool) {
        if let Some(i) = self.refs.iter().rposition(|r| r.kind == RefKind::ResLock { id, place, irq }) {
            self.drop_lock(i);
        }
    }

    /// Opens an irq-off section.
    pub fn irq_save(&mut self, id: u32, insn: u32) {
        self.acquire(id, insn, RefKind::Irq);
        self.irq_id = id;
    }

    /// Closes the innermost irq-off section. The innermost one, if it is another.
    pub fn irq_restore(&mut self, id: u32) -> Result<(), Option<Ref>> {
        let innermost = self.refs.iter().rev().find(|r| r.kind == RefKind::Irq).copied();
        if self.irq_id != id {
            return Err(innermost);
        }
        let Some(i) = self.refs.iter().position(|r| r.id == id && r.kind == RefKind::Irq) else {
            return Err(innermost);
        };
        self.refs.remove(i);
        self.irq_id = self.refs.iter().rev().find(|r| r.kind == RefKind::Irq).map_or(0, |r| r.id);
        Ok(())
    }

    /// References that leak if the path ends here.
    pub fn leaked(&self) -> impl Iterator<Item = &Ref> {
        self.refs.iter().filter(|r| r.kind == RefKind::Pointer)
    }
}
