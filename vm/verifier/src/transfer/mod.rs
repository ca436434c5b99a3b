//! What each class of instruction does to the abstract state.

mod alu;
mod branch;
mod call;
mod callback;
mod helper;
mod iter;
mod kfunc;
mod kfunc_args;
mod kfunc_class;
mod kfunc_map;
mod kfunc_ret;
mod loads;
mod packet_branch;
mod pointer_alu;
