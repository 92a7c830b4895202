//! `#[actor]`.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{
    Attribute, Error, Ident, ImplItem, ImplItemFn, Item, ItemImpl, LitStr, Meta, Path, PathArguments, Result,
    Type,
};

use crate::docs::first_paragraph;
use crate::handler::{Access, Handler, linked};
use crate::message::{check_length, check_mark};
use crate::protocol::{self, Described};
use crate::spoken;

/// Longest capability, in bytes; `odeon_core::limits::CAPABILITY_BYTES_MAX` is the same at run time.
const CAPABILITY_BYTES_MAX: usize = 127;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let protocols = parse_arguments(arguments.clone())?.protocols;
    if protocols.is_empty() {
        return expand_with(arguments, item, Vec::new());
    }
    // First the protocols say what they consist of.
    protocol::gather(&protocols, &[], &arguments, &item)
}

/// Expands the attribute, what its protocols ask for being known.
pub(crate) fn expand_with(
    arguments: TokenStream,
    item: TokenStream,
    mut protocols: Vec<Described>,
) -> Result<TokenStream> {
    let Arguments { mark, .. } = parse_arguments(arguments)?;
    let mut item = match syn::parse2(item)? {
        Item::Impl(item) => item,
        other => {
            return Err(Error::new_spanned(
                other,
                "#[actor] goes on the `impl` block with the actor's methods",
            ));
        }
    };
    let actor = actor_name(&item)?;
    let mut handlers: Vec<Handler> = Vec::new();
    let mut hooks = BTreeMap::new();
    for inner in &mut item.items {
        if let ImplItem::Fn(function) = inner {
            match take_role(function)? {
                Some(Role::Handle(access)) => {
                    let is_inline = access.is_inline;
                    let mut handler = Handler::parse(&actor, function, access)?;
                    spoken::adopt(&mut protocols, &mut handler)?;
                    check_access(&handler, mark.as_ref())?;
                    if is_inline && !handler.returns() {
                        let what = "an inline handler answers on the asker's stack: it is not `async` and returns its answer";
                        return Err(Error::new_spanned(&function.sig.ident, what));
                    }
                    handlers.push(handler);
                }
                Some(Role::Hook(hook)) if hooks.contains_key(&hook) => {
                    let what = format!("the actor has a method marked #[{}] already", hook.name());
                    return Err(Error::new_spanned(&function.sig.ident, what));
                }
                Some(Role::Hook(hook)) => drop(hooks.insert(hook, hook.forward(function))),
                None => {}
            }
        }
    }
    if handlers.is_empty() {
        return Err(Error::new_spanned(&item.self_ty, "an actor needs at least one method marked #[handle]"));
    }
    spoken::check_complete(&protocols, &actor, &item)?;
    let has_start = hooks.contains_key(&Hook::Started);
    let has_run = hooks.contains_key(&Hook::Run);
    let hooks = hooks.into_values().collect();
    let doc = first_paragraph(&item.attrs);
    let expansion = Expansion { actor, mark, doc, handlers, has_start, has_run, hooks, protocols };
    for handler in &expansion.handlers {
        if let Some(mark) = expansion.full_mark(handler) {
            check_length(&mark, &handler.method)?;
        }
    }
    let (requests, message) = (expansion.requests(), expansion.message());
    let (implementation, calls) = (expansion.implementation(), expansion.calls());
    let spoken = expansion.spoken();
    Ok(quote! { #item #requests #message #implementation #calls #spoken })
}

/// What stands in the attribute.
#[derive(Default)]
struct Arguments {
    mark: Option<LitStr>,
    protocols: Vec<Path>,
}

fn parse_arguments(arguments: TokenStream) -> Result<Arguments> {
    let mut parsed = Arguments::default();
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("mark") {
            let text: LitStr = meta.value()?.parse()?;
            check_mark(&text)?;
            parsed.mark = Some(text);
        } else if meta.path.is_ident("protocol") {
            parsed.protocols.push(meta.value()?.parse()?);
        } else if meta.path.is_ident("protocols") {
            meta.parse_nested_meta(|inner| {
                parsed.protocols.push(inner.path);
                Ok(())
            })?;
        } else {
            let what = "expected `mark = \"name/1\"`, `protocol = Name` or `protocols(One, Two)`";
            return Err(meta.error(what));
        }
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(parsed)
}

fn actor_name(item: &ItemImpl) -> Result<Ident> {
    if let Some((of_trait, _)) = &item.trait_ {
        let what = "#[actor] goes on a plain `impl` block, not on a trait's: move the methods to `impl Name`";
        return Err(Error::new_spanned(of_trait, what));
    }
    let generic =
        "an actor cannot be generic, because its messages are one enum: wrap the type you need in a struct";
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, generic));
    }
    match &*item.self_ty {
        Type::Path(path) if path.qself.is_none() && path.path.segments.len() == 1 => {
            let segment = &path.path.segments[0];
            match &segment.arguments {
                PathArguments::None => Ok(segment.ident.clone()),
                arguments => Err(Error::new_spanned(arguments, generic)),
            }
        }
        other => Err(Error::new_spanned(other, "#[actor] goes on `impl Name`, where the type is declared")),
    }
}

/// What an attribute makes of a method.
enum Role {
    Handle(Access),
    Hook(Hook),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hook {
    Started,
    Stopped,
    Down,
    Run,
}

/// Takes the attribute off the method, and says what it was.
fn take_role(function: &mut ImplItemFn) -> Result<Option<Role>> {
    let is_ours = |attribute: &Attribute| {
        ["handle", "started", "stopped", "down", "run"].iter().any(|name| attribute.path().is_ident(name))
    };
    let Some(index) = function.attrs.iter().position(is_ours) else {
        return Ok(None);
    };
    let attribute = function.attrs.remove(index);
    if let Some(second) = function.attrs.iter().find(|attribute| is_ours(attribute)) {
        return Err(Error::new_spanned(
            second,
            "a method has one of #[handle], #[started], #[stopped], #[down], #[run]",
        ));
    }
    if attribute.path().is_ident("handle") {
        return Ok(Some(Role::Handle(parse_access(&attribute)?)));
    }
    attribute.meta.require_path_only()?;
    let hooks = [Hook::Started, Hook::Stopped, Hook::Down, Hook::Run];
    Ok(hooks.into_iter().find(|hook| attribute.path().is_ident(hook.name())).map(Role::Hook))
}

pub(crate) fn parse_access(attribute: &Attribute) -> Result<Access> {
    let mut access = Access::default();
    if matches!(attribute.meta, Meta::Path(_)) {
        return Ok(access);
    }
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("local") {
            access.is_local = true;
        } else if meta.path.is_ident("inline") {
            access.is_inline = true;
        } else if meta.path.is_ident("boxed") {
            access.is_boxed = true;
        } else if meta.path.is_ident("needs") {
            access.needs = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error("expected `local`, `inline`, `boxed` or `needs = \"capability\"`"));
        }
        Ok(())
    })?;
    if access.is_local && access.needs.is_some() {
        let what = "a local handler is out of reach of other servers: there is nobody to need a capability";
        return Err(Error::new_spanned(attribute, what));
    }
    Ok(access)
}

/// Refuses a capability that nobody could hold, or that nobody would be asked for.
fn check_access(handler: &Handler, mark: Option<&LitStr>) -> Result<()> {
    let Some(needs) = &handler.access.needs else {
        return Ok(());
    };
    let value = needs.value();
    let fits = (1..=CAPABILITY_BYTES_MAX).contains(&value.len());
    if !fits || !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:/.".contains(&b)) {
        let what = format!(
            "a capability has 1 to {CAPABILITY_BYTES_MAX} of the characters a-z, 0-9 and `-:/.`, such as \"shutdown\""
        );
        return Err(Error::new_spanned(needs, what));
    }
    let has_mark = handler.spoken.as_ref().map_or_else(|| mark.is_some(), |spoken| spoken.mark.is_some());
    if !has_mark {
        let what = "without a mark the actor is out of reach of other servers: say #[actor(mark = \"name/1\")], or leave `needs` out";
        return Err(Error::new_spanned(needs, what));
    }
    Ok(())
}

impl Hook {
    /// The attribute, and the trait's method.
    const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Down => "down",
            Self::Run => "run",
        }
    }

    /// The trait's method, which calls the user's.
    fn forward(self, function: &ImplItemFn) -> TokenStream {
        let method = &function.sig.ident;
        let wait = function.sig.asyncness.is_some().then(|| quote!(.await));
        let takes = function.sig.inputs.len();
        match self {
            Self::Started | Self::Run => {
                let cx = (takes > 1).then(|| quote!(__cx));
                let call = quote!(self.#method(#cx) #wait);
                let body = match function.sig.output {
                    syn::ReturnType::Default => quote!(#call; ::odeon::private::Result::Ok(())),
                    syn::ReturnType::Type(..) => quote!(#call?; ::odeon::private::Result::Ok(())),
                };
                let hook = format_ident!("{}", self.name());
                quote! {
                    async fn #hook(
                        &mut self,
                        __cx: &mut ::odeon::Cx<Self>,
                    ) -> ::odeon::private::Result<(), ::odeon::Failure> { #body }
                }
            }
            Self::Stopped => {
                let cx = (takes > 2).then(|| quote!(, __cx));
                quote! {
                    async fn stopped(&mut self, __reason: &::odeon::ExitReason, __cx: &mut ::odeon::Cx<Self>) {
                        self.#method(__reason #cx) #wait;
                    }
                }
            }
            Self::Down => {
                let cx = (takes > 2).then(|| quote!(, __cx));
                quote! {
                    async fn down(&mut self, __down: ::odeon::Down, __cx: &mut ::odeon::Cx<Self>) {
                        self.#method(__down #cx) #wait;
                    }
                }
            }
        }
    }
}

struct Expansion {
    actor: Ident,
    mark: Option<LitStr>,
    doc: String,
    handlers: Vec<Handler>,
    has_start: bool,
    has_run: bool,
    hooks: Vec<TokenStream>,
    protocols: Vec<Described>,
}

impl Expansion {
    fn message_name(&self) -> Ident {
        format_ident!("{}Message", self.actor)
    }

    /// The mark of a handler that other servers can reach: the protocol's, if it is a protocol's.
    fn full_mark(&self, handler: &Handler) -> Option<String> {
        let mark = match &handler.spoken {
            Some(spoken) => spoken.mark.clone()?,
            None => self.mark.as_ref().filter(|_| !handler.access.is_local)?.value(),
        };
        Some(format!("{mark}#{}", handler.name))
    }

    /// The mark of what the actor understands as a whole.
    fn whole_mark(&self) -> Option<String> {
        let of_protocols = || self.protocols.iter().find_map(|protocol| protocol.mark.clone());
        self.mark.as_ref().map(LitStr::value).or_else(of_protocols)
    }

    /// What makes messages of the protocols the actor's own.
    fn spoken(&self) -> TokenStream {
        let (actor, message) = (&self.actor, self.message_name());
        let protocols = self.protocols.iter();
        protocols.map(|protocol| spoken::speaks(protocol, actor, &message, &self.handlers)).collect()
    }

    fn requests(&self) -> TokenStream {
        let message = self.message_name();
        self.handlers
            .iter()
            .map(|handler| handler.request_items(&self.actor, &message, self.full_mark(handler).as_deref()))
            .collect()
    }

    fn message(&self) -> TokenStream {
        let message = self.message_name();
        let doc = format!("What [`{}`] understands: one variant per handler.", self.actor);
        let variants = self.handlers.iter().map(|handler| {
            let Handler { variant, reply, .. } = handler;
            let stored = handler.stored_type();
            let doc = format!("[`{}::{}`], and where its answer goes.", self.actor, handler.method);
            quote!(#[doc = #doc] #variant(#stored, ::odeon::Reply<#reply>))
        });
        quote! {
            #[doc = #doc]
            #[derive(Debug)]
            pub enum #message { #(#variants),* }
        }
    }

    fn implementation(&self) -> TokenStream {
        let (actor, message) = (&self.actor, self.message_name());
        let now = self.handlers.iter().map(|handler| handler.dispatch_now(&message));
        let waits = self.handlers.iter().map(|handler| handler.waits(&message));
        let later = self.handlers.iter().map(|handler| handler.may_answer_later(&message));
        let all = self.handlers.iter().map(|handler| handler.dispatch(&message));
        let (has_start, has_run) = (self.has_start, self.has_run);
        let hooks = &self.hooks;
        let mark = self.whole_mark();
        let (travel, linked) =
            (mark.as_ref().map(|mark| self.travel(mark)), mark.as_ref().map(|_| linked(actor)));
        quote! {
            #[automatically_derived]
            impl ::odeon::Actor for #actor {
                type Message = #message;

                const HAS_START: bool = #has_start;
                const HAS_RUN: bool = #has_run;

                #[inline]
                fn waits(__message: &#message) -> bool {
                    match __message { #(#waits),* }
                }

                fn may_answer_later(__message: &#message) -> bool {
                    match __message { #(#later),* }
                }

                #[inline]
                fn handle_now(&mut self, __message: #message, __cx: &mut ::odeon::Cx<Self>) {
                    match __message { #(#now)* }
                }

                async fn handle(&mut self, __message: #message, __cx: &mut ::odeon::Cx<Self>) {
                    match __message { #(#all)* }
                }

                #(#hooks)*
                #travel
            }

            #linked
        }
    }

    /// What other servers need: the table of methods, and the way from bytes to messages.
    fn travel(&self, mark: &str) -> TokenStream {
        let (actor, doc, message) = (&self.actor, &self.doc, self.message_name());
        let open = || self.handlers.iter().filter(|handler| self.full_mark(handler).is_some());
        let methods = open().map(|handler| {
            let Handler { name, doc, request, reply, .. } = handler;
            let mark = self.full_mark(handler);
            let needs = match &handler.access.needs {
                Some(needs) => quote!(::odeon::private::Option::Some(#needs)),
                None => quote!(::odeon::private::Option::None),
            };
            quote! {
                ::odeon::private::Method {
                    name: #name,
                    mark: #mark,
                    doc: #doc,
                    needs: #needs,
                    arguments: || ::odeon::private::schemars::schema_for!(#request),
                    reply: || ::odeon::private::schemars::schema_for!(#reply),
                    fingerprint: <#request as ::odeon::Request<#actor>>::fingerprint,
                }
            }
        });
        let arms = open().enumerate().map(|(index, handler)| {
            let variant = &handler.variant;
            quote!(#index => ::odeon::private::Result::Ok(#message::#variant(payload.decode()?, reply.typed())))
        });
        quote! {
            fn protocol() -> ::odeon::private::Option<&'static ::odeon::private::Protocol> {
                static PROTOCOL: ::odeon::private::Protocol =
                    ::odeon::private::Protocol { mark: #mark, doc: #doc, methods: &[#(#methods),*] };
                ::odeon::private::Option::Some(&PROTOCOL)
            }

            fn decode(
                method: usize,
                payload: ::odeon::Payload<'_>,
                reply: ::odeon::RemoteReply,
            ) -> ::odeon::private::Result<#message, ::odeon::private::Refusal> {
                match method {
                    #(#arms,)*
                    _ => ::odeon::private::Result::Err(::odeon::private::Refusal::new(
                        ::odeon::private::RefusalCode::UnknownMark,
                        "the protocol has no such method",
                    )),
                }
            }
        }
    }

    /// The trait by which a handle has the actor's methods.
    fn calls(&self) -> TokenStream {
        let actor = &self.actor;
        let calls = format_ident!("{}Calls", actor);
        let doc = format!("The calls that a handle of [`{actor}`] offers: await one to ask, or tell it.");
        let declarations = self.handlers.iter().map(|handler| {
            let signature = handler.call_signature(actor);
            let doc = &handler.doc;
            quote!(#[doc = #doc] #signature;)
        });
        let definitions = self.handlers.iter().map(|handler| {
            let (signature, value) = (handler.call_signature(actor), handler.request_value());
            quote!(#signature { self.call(#value) })
        });
        quote! {
            #[doc = #doc]
            pub trait #calls { #(#declarations)* }

            #[automatically_derived]
            impl #calls for ::odeon::Handle<#actor> { #(#definitions)* }
        }
    }
}
