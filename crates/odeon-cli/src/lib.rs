//! The command line of Odeon, as a library.
