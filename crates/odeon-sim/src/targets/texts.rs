//! Texts that people and peers write: names, addresses, `odeon.toml`.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use odeon_core::{ActorId, ActorName, Address, Capability, Domain, Mark, Reference, Role, ServerId};
use odeon_ensemble::config::Ensemble;

/// A text is a name of each kind or none; what is one is the same one after it was printed and read again. Each line is
/// a text, so that one input can be many.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    name(text);
    if text.contains('\n') {
        text.split('\n').for_each(name);
    }
}

fn name(text: &str) {
    returns::<ActorId>(text);
    returns::<ActorName>(text);
    returns::<Address>(text);
    returns::<Capability>(text);
    returns::<Domain>(text);
    returns::<Mark>(text);
    returns::<Reference>(text);
    returns::<Role>(text);
    returns::<ServerId>(text);
}

fn returns<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    let Ok(name) = text.parse::<T>() else { return };
    let printed = name.to_string();
    let again = printed.parse::<T>().ok();
    assert_eq!(again, Some(name), "`{printed}` is not read as it was printed");
}

/// A file is a configuration or has errors, each with something to say; what is one can be planned with.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Ensemble::parse(text, "odeon.toml") {
        Ok(ensemble) => {
            let mut started = BTreeSet::new();
            for wave in ensemble.waves() {
                for role in &wave {
                    let needs = &ensemble.roles[*role].needs;
                    assert!(
                        needs.iter().all(|need| started.contains(need)),
                        "{role} starts before what it needs"
                    );
                }
                started.extend(wave);
            }
            assert_eq!(started.len(), ensemble.roles.len(), "every role starts");
        }
        Err(errors) => assert!(!errors.to_string().is_empty(), "errors without a word"),
    }
}
