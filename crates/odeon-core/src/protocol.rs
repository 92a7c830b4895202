//! What an actor understands: its protocol, as a table and as a description that travels.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::names::suggest;
use crate::refusal::{Refusal, RefusalCode};

/// An actor's protocol. Written by `#[actor(mark = "…")]`.
#[derive(Debug)]
pub struct Protocol {
    /// The protocol's mark, such as `greeter/1`.
    pub mark: &'static str,
    /// The first paragraph of the actor's documentation.
    pub doc: &'static str,
    /// Its methods, in the order they are written.
    pub methods: &'static [Method],
}

/// One method of a protocol.
#[derive(Debug)]
pub struct Method {
    /// The method's name in kebab case, such as `set-greeting`.
    pub name: &'static str,
    /// The full mark, such as `greeter/1#set-greeting`.
    pub mark: &'static str,
    /// The first paragraph of the method's documentation.
    pub doc: &'static str,
    /// The capability a remote sender needs, if any.
    pub needs: Option<&'static str>,
    /// Makes the JSON Schema of the arguments.
    pub arguments: fn() -> Schema,
    /// Makes the JSON Schema of the reply.
    pub reply: fn() -> Schema,
    /// The fingerprint of arguments and reply; none if either is opaque.
    pub fingerprint: fn() -> Option<Fingerprint>,
}

/// A protocol linked into this program; none of an actor without a mark.
#[derive(Debug)]
pub struct LinkedProtocol(pub fn() -> Option<&'static Protocol>);

inventory::collect!(LinkedProtocol);

/// Every protocol linked into this program, in no order.
pub fn protocols() -> impl Iterator<Item = &'static Protocol> {
    inventory::iter::<LinkedProtocol>().filter_map(|linked| (linked.0)())
}

impl Protocol {
    /// The method meant by `wanted`: a full mark, or a bare name in any common case
    /// (`SetGreeting`, `set_greeting`, `set-greeting`).
    ///
    /// # Errors
    /// [`RefusalCode::UnknownMark`], naming a near miss or what there is.
    pub fn method(&self, wanted: &str) -> Result<&'static Method, Refusal> {
        let names = || self.methods.iter().map(|method| (method.mark, method.name));
        find(self.mark, names, wanted).map(|index| &self.methods[index])
    }

    /// The protocol as data, schemas included.
    #[must_use]
    pub fn describe(&self) -> ProtocolDescription {
        let methods = self
            .methods
            .iter()
            .map(|method| MethodDescription {
                name: method.name.to_owned(),
                mark: method.mark.to_owned(),
                doc: method.doc.to_owned(),
                needs: method.needs.map(ToOwned::to_owned),
                arguments: (method.arguments)().to_value(),
                reply: (method.reply)().to_value(),
            })
            .collect();
        ProtocolDescription { mark: self.mark.to_owned(), doc: self.doc.to_owned(), methods }
    }
}

/// The place of the method meant by `wanted` among the marks and names given.
fn find<'a, I>(protocol: &str, methods: impl Fn() -> I, wanted: &str) -> Result<usize, Refusal>
where
    I: Iterator<Item = (&'a str, &'a str)>,
{
    let bare = kebab(wanted);
    if let Some(index) = methods().position(|(mark, _)| mark == wanted) {
        return Ok(index);
    }
    if let Some(index) = methods().position(|(_, name)| name == bare) {
        return Ok(index);
    }
    let hint = match suggest(&bare, methods().map(|(_, name)| name)) {
        Some(near) => near.to_string(),
        None => format!("it understands {}", methods().map(|(_, name)| name).collect::<Vec<_>>().join(", ")),
    };
    let shown: String = wanted.chars().take(80).collect();
    Err(Refusal::new(RefusalCode::UnknownMark, format!("{protocol} has no message `{shown}`; {hint}")))
}

/// `SetGreeting`, `set_greeting` and `set-greeting` are one name.
fn kebab(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for (i, c) in text.chars().take(100).enumerate() {
        match c {
            '_' | ' ' => out.push('-'),
            c if c.is_ascii_uppercase() => {
                if i > 0 && !out.ends_with('-') {
                    out.push('-');
                }
                out.push(c.to_ascii_lowercase());
            }
            c => out.push(c),
        }
    }
    out
}

/// A [`Protocol`] as data that travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolDescription {
    /// The protocol's mark.
    pub mark: String,
    /// What the actor is for.
    pub doc: String,
    /// Its methods.
    pub methods: Vec<MethodDescription>,
}

impl ProtocolDescription {
    /// The method meant by `wanted`, as [`Protocol::method`] finds it.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownMark`], naming a near miss or what there is.
    pub fn method(&self, wanted: &str) -> Result<&MethodDescription, Refusal> {
        let names = || self.methods.iter().map(|method| (method.mark.as_str(), method.name.as_str()));
        find(&self.mark, names, wanted).map(|index| &self.methods[index])
    }
}

/// A [`Method`] as data that travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MethodDescription {
    /// The bare name.
    pub name: String,
    /// The full mark.
    pub mark: String,
    /// What the method does.
    pub doc: String,
    /// The capability a remote sender needs.
    pub needs: Option<String>,
    /// JSON Schema of the arguments.
    pub arguments: serde_json::Value,
    /// JSON Schema of the reply.
    pub reply: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Schema {
        Schema::default()
    }

    const GREETER: Protocol = Protocol {
        mark: "greeter/1",
        doc: "",
        methods: &[Method {
            name: "set-greeting",
            mark: "greeter/1#set-greeting",
            doc: "",
            needs: None,
            arguments: any,
            reply: any,
            fingerprint: || None,
        }],
    };

    #[test]
    fn a_method_is_found_by_any_spelling() {
        for wanted in ["greeter/1#set-greeting", "set-greeting", "set_greeting", "SetGreeting", "setGreeting"]
        {
            assert_eq!(GREETER.method(wanted).expect("found").name, "set-greeting", "{wanted}");
        }
    }

    #[test]
    fn an_unknown_method_names_the_near_miss_or_the_choice() {
        let near = GREETER.method("SetGreting").expect_err("unknown");
        assert_eq!(near.code, RefusalCode::UnknownMark);
        assert!(near.detail.contains("did you mean `set-greeting`?"), "{near}");
        let far = GREETER.method("fly").expect_err("unknown");
        assert!(far.detail.contains("it understands set-greeting"), "{far}");
        assert!(GREETER.method("greeter/2#set-greeting").is_err(), "another version is another method");
    }
}
