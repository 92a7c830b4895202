//! Ensembles of more than one host: namespaces of this machine that share neither network nor name.

mod guide;
mod host;
mod two_hosts;
