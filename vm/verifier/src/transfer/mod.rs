//! What each class of instruction does to the abstract state.

mod alu;
mod branch;
mod call;
mod callback;
mod graph;
mod helper;
mod iter;
mod kernel;
mod kfunc;
mod kfunc_args;
mod kfunc_class;
mod kfunc_map;
mod kfunc_ret;
mod kfunc_struct;
mod loads;
mod objects;
mod packet_branch;
mod pointer_alu;
