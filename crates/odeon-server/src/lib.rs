//! The actor server: links, routing, remote control, authorisation.
