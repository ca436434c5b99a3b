//! What native callees take and give, as far as registers go.

use backstop_btf::Type;
use backstop_model::{ArgKind, RetKind, helpers};

use crate::{Callee, CalleeId, Ir};

impl<S> Ir<S> {
    /// How many argument registers a callee reads, and whether its result means something. What nobody knows takes none.
    pub fn signature(&self, id: CalleeId) -> (u8, bool) {
        match self.callees().get(id.0 as usize) {
            Some(Callee::Helper(number)) => helpers::proto(*number).map_or((0, true), |proto| {
                let args = proto.args.iter().take_while(|arg| **arg != ArgKind::None).count();
                (args as u8, proto.ret != RetKind::Void)
            }),
            Some(Callee::Kfunc(index)) => {
                let kfunc = self.kfunc(*index);
                let proto = kfunc.and_then(|kfunc| Some((kfunc, kfunc.btf.proto(kfunc.func)?)));
                proto.map_or((0, true), |(kfunc, proto)| {
                    let void = matches!(kfunc.btf.resolved(proto.ret), Type::Void);
                    (proto.params.len().min(5) as u8, !void)
                })
            }
            None => (0, true),
        }
    }
}
