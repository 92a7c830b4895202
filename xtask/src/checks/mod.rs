//! One module per rule of the house. Each has `check`, a pure function from the tree to findings.

pub(crate) mod codes;
pub(crate) mod documents;
pub(crate) mod exceptions;
pub(crate) mod features;
pub(crate) mod layers;
pub(crate) mod length;
pub(crate) mod links;
pub(crate) mod manifests;
pub(crate) mod module_docs;
pub(crate) mod sleeps;
pub(crate) mod words;
