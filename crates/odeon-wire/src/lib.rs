//! The protocol between Odeon servers, without I/O.
