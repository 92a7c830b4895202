//! The commands, one file per job.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod can;
pub(crate) mod certificates;
pub(crate) mod config;
pub(crate) mod grant;
pub(crate) mod learn;
pub(crate) mod logs;
pub(crate) mod package;
pub(crate) mod publish;
pub(crate) mod see;
pub(crate) mod serve;
pub(crate) mod steer;
pub(crate) mod talk;
pub(crate) mod up;
