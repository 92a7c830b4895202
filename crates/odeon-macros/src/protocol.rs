//! `#[protocol]`, and how `#[actor]` learns what a protocol consists of.
//!
//! A macro sees only what it is written on, so each protocol is a macro too, of the protocol's own name: given the
//! state of an expansion of `#[actor]` it adds the protocol's trait and hands it on to `actor_with_protocols`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Attribute, Error, Ident, ImplItemFn, ItemTrait, LitStr, Path, Result, Token, TraitItem, TraitItemFn,
    Visibility, braced, parse_quote,
};

use crate::actor::parse_access;
use crate::docs::first_paragraph;
use crate::handler::{Access, Handler, is_called, linked, travel};
use crate::message::{check_length, check_mark};

/// A protocol, as an actor that speaks it sees it.
pub(crate) struct Described {
    /// As the actor's attribute names it.
    pub(crate) path: Path,
    pub(crate) name: Ident,
    pub(crate) mark: Option<String>,
    pub(crate) methods: Vec<Handler>,
    /// The methods that have a handler.
    pub(crate) taken: BTreeSet<usize>,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mark = parse_mark(arguments)?;
    let item: ItemTrait = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[protocol] goes on a trait, whose methods it makes requests")
    })?;
    let methods = methods(&item)?;
    if methods.is_empty() {
        return Err(Error::new_spanned(&item.ident, "a protocol needs at least one method"));
    }
    let protocol = Protocol { item: &item, mark, methods };
    for method in &protocol.methods {
        if let Some(mark) = protocol.full_mark(method) {
            check_length(&mark, &method.method)?;
        }
    }
    let (marker, requests, message) = (protocol.marker(), protocol.requests(), protocol.message());
    let (handle, mock, describing) = (protocol.handle(), protocol.mock(), protocol.describing());
    Ok(quote! { #marker #requests #message #handle #mock #describing })
}

fn parse_mark(arguments: TokenStream) -> Result<Option<LitStr>> {
    let mut mark = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("mark") {
            return Err(meta.error("expected `mark = \"name/1\"`"));
        }
        let text: LitStr = meta.value()?.parse()?;
        check_mark(&text)?;
        mark = Some(text);
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(mark)
}

/// The methods of a protocol's trait.
fn methods(item: &ItemTrait) -> Result<Vec<Handler>> {
    if !item.generics.params.is_empty() {
        let what = "a protocol cannot be generic, because its messages are one enum: name the concrete types";
        return Err(Error::new_spanned(&item.generics, what));
    }
    if let Some(first) = item.supertraits.first() {
        let what = "a protocol stands alone: an actor may speak several, `protocols(One, Two)`";
        return Err(Error::new_spanned(first, what));
    }
    let methods = item.items.iter().map(|inner| match inner {
        TraitItem::Fn(function) => method(&item.ident, function),
        other => Err(Error::new_spanned(other, "a protocol consists of methods")),
    });
    methods.collect()
}

fn method(protocol: &Ident, function: &TraitItemFn) -> Result<Handler> {
    if let Some(body) = &function.default {
        let what = "a protocol's method has no body: the actor's handler is its body";
        return Err(Error::new_spanned(body, what));
    }
    let mut access = Access::default();
    let mut attrs = function.attrs.clone();
    if let Some(index) = attrs.iter().position(|attribute| attribute.path().is_ident("handle")) {
        let attribute = attrs.remove(index);
        access = parse_access(&attribute)?;
        if access.is_local || access.is_inline || access.needs.is_some() {
            let what = "a protocol says #[handle(boxed)] at most: the rest is said by the actor's handler";
            return Err(Error::new_spanned(attribute, what));
        }
    }
    let sig = &function.sig;
    let as_handler: ImplItemFn = parse_quote!(#(#attrs)* #sig {});
    for input in &function.sig.inputs {
        if let syn::FnArg::Typed(argument) = input {
            let lent = match &*argument.ty {
                syn::Type::Reference(reference) => &reference.elem,
                other => other,
            };
            if is_called(&argument.ty, "Reply") {
                let what =
                    "a protocol says what is answered, `-> i64`; the actor's handler may take a `Reply`";
                return Err(Error::new_spanned(&argument.ty, what));
            }
            if is_called(lent, "Cx") {
                let what = "the context is the handler's own: the protocol leaves it out";
                return Err(Error::new_spanned(&argument.ty, what));
            }
        }
    }
    let mut method = Handler::parse(protocol, &as_handler, access)?;
    if OWN_METHODS.iter().any(|taken| method.method == taken) {
        let what = format!("the protocol's handle has a `{}` of its own: choose another name", method.method);
        return Err(Error::new_spanned(&method.method, what));
    }
    // What the handlers of actors do is not known here: nothing runs at once.
    method.is_async = true;
    Ok(method)
}

/// What the handle of a protocol has beside the methods that no handle's method may hide.
const OWN_METHODS: [&str; 2] = ["new", "remote"];

impl Handler {
    /// The method as a protocol writes it.
    pub(crate) fn text(&self) -> String {
        let arguments = self.fields.iter().map(|(name, ty)| format!(", {name}: {}", written(ty)));
        let arguments: String = arguments.collect();
        let reply = match written(&self.reply) {
            unit if unit == "()" => String::new(),
            reply => format!(" -> {reply}"),
        };
        format!("fn {}(&self{arguments}){reply}", self.method)
    }
}

/// A type as people write it, near enough.
fn written(ty: &impl ToTokens) -> String {
    let text = ty.to_token_stream().to_string();
    [(" < ", "<"), (" <", "<"), ("< ", "<"), (" >", ">"), (" :: ", "::"), (" ,", ","), ("& ", "&")]
        .iter()
        .fold(text, |text, (spaced, tight)| text.replace(spaced, tight))
}

struct Protocol<'a> {
    item: &'a ItemTrait,
    mark: Option<LitStr>,
    methods: Vec<Handler>,
}

impl Protocol<'_> {
    fn name(&self) -> &Ident {
        &self.item.ident
    }

    fn message_name(&self) -> Ident {
        format_ident!("{}Message", self.name())
    }

    fn handle_name(&self) -> Ident {
        format_ident!("{}Handle", self.name())
    }

    /// Named where the attribute stands, as all that may stay unused: the lints then leave it alone.
    fn mock_name(&self) -> Ident {
        format_ident!("{}Mock", self.name(), span = Span::call_site())
    }

    fn full_mark(&self, method: &Handler) -> Option<String> {
        self.mark.as_ref().map(|mark| format!("{}#{}", mark.value(), method.name))
    }

    fn docs(&self) -> impl Iterator<Item = &Attribute> {
        self.item.attrs.iter()
    }

    /// The type that stands for whoever speaks the protocol.
    fn marker(&self) -> TokenStream {
        let (name, vis, message, docs) = (self.name(), &self.item.vis, self.message_name(), self.docs());
        let doc = first_paragraph(&self.item.attrs);
        let protocol = self.mark.as_ref().map(|mark| {
            let protocol = self.name();
            let methods = self.methods.iter().map(|method| {
                let Handler { name, doc, request, reply, .. } = method;
                let mark = self.full_mark(method);
                quote! {
                    ::odeon::private::Method {
                        name: #name,
                        mark: #mark,
                        doc: #doc,
                        needs: ::odeon::private::Option::None,
                        arguments: || ::odeon::private::schemars::schema_for!(#request),
                        reply: || ::odeon::private::schemars::schema_for!(#reply),
                        fingerprint: <#request as ::odeon::Request<#protocol>>::fingerprint,
                    }
                }
            });
            quote! {
                fn protocol() -> ::odeon::private::Option<&'static ::odeon::private::Protocol> {
                    static PROTOCOL: ::odeon::private::Protocol =
                        ::odeon::private::Protocol { mark: #mark, doc: #doc, methods: &[#(#methods),*] };
                    ::odeon::private::Option::Some(&PROTOCOL)
                }
            }
        });
        let linked = self.mark.as_ref().map(|_| linked(name));
        let types = self.methods.iter().enumerate().map(|(index, method)| {
            let Handler { request, reply, .. } = method;
            let arguments = method.fields.iter().enumerate().map(|(number, (_, ty))| {
                quote! {
                    impl ::odeon::private::ProtocolArgument<#index, #number> for #name { type Type = #ty; }
                }
            });
            quote! {
                impl ::odeon::private::ProtocolMethod<#index> for #name {
                    type Request = #request;
                    type Reply = #reply;
                }
                #(#arguments)*
            }
        });
        quote! {
            #(#docs)*
            #[derive(Debug)]
            #vis enum #name {}

            #[automatically_derived]
            impl ::odeon::Actor for #name {
                type Message = #message;

                const HAS_START: bool = false;

                async fn handle(&mut self, _: #message, _: &mut ::odeon::Cx<Self>) {
                    match *self {}
                }

                #protocol
            }

            #[automatically_derived]
            impl ::odeon::Speaks<#name> for #name {
                fn translate(message: #message) -> #message { message }
            }

            #(#types)*

            #linked
        }
    }

    /// The requests, which are those of every actor that speaks the protocol.
    fn requests(&self) -> TokenStream {
        let (name, message) = (self.name(), self.message_name());
        let requests = self.methods.iter().enumerate().map(|(index, method)| {
            let Handler { request, variant, reply, .. } = method;
            let mark = self.full_mark(method);
            let of = format!("[`{}::{}`]", self.handle_name(), method.method);
            let (declared, stored) =
                (method.request_struct(&self.item.vis, &of, mark.is_some()), method.stored());
            let travel = mark.as_deref().map(|mark| travel(mark, request, reply));
            let handler = quote!(ProtocolHandler<#name, #index>);
            quote! {
                #declared

                #[automatically_derived]
                impl<A> ::odeon::Request<A> for #request
                where
                    A: ::odeon::Speaks<#name> + ::odeon::private::#handler,
                {
                    type Reply = #reply;

                    const INLINE: ::odeon::Inline = <A as ::odeon::private::#handler>::INLINE;

                    const MAY_ANSWER_LATER: bool = <A as ::odeon::private::#handler>::MAY_ANSWER_LATER;

                    fn answer_now(
                        self,
                        actor: &mut A,
                        cx: &mut ::odeon::Cx<A>,
                    ) -> ::odeon::private::Result<#reply, Self> {
                        <A as ::odeon::private::#handler>::answer_now(self, actor, cx)
                    }

                    fn into_message(self, reply: ::odeon::Reply<#reply>) -> A::Message {
                        <A as ::odeon::Speaks<#name>>::translate(#message::#variant(#stored, reply))
                    }

                    #travel
                }

                #[automatically_derived]
                impl ::odeon::private::#handler for #name {}
            }
        });
        requests.collect()
    }

    fn message(&self) -> TokenStream {
        let (message, vis) = (self.message_name(), &self.item.vis);
        let doc = format!("What an actor that speaks [`{}`] understands.", self.name());
        let variants = self.methods.iter().map(|method| {
            let (variant, reply, stored) = (&method.variant, &method.reply, method.stored_type());
            let doc = format!("[`{}::{}`], and where its answer goes.", self.handle_name(), method.method);
            quote!(#[doc = #doc] #variant(#stored, ::odeon::Reply<#reply>))
        });
        quote! {
            #[doc = #doc]
            #[derive(Debug)]
            #vis enum #message { #(#variants),* }
        }
    }

    /// The handle with the protocol's methods, and nothing else of the actor's.
    fn handle(&self) -> TokenStream {
        let (name, vis, handle) = (self.name(), &self.item.vis, self.handle_name());
        let doc = format!(
            "A handle to an actor that speaks [`{name}`], here or on another server. Whoever has it can use nothing else of the actor. Cheap to clone."
        );
        let methods = self.methods.iter().map(|method| {
            let (signature, value, doc) = (method.call_signature(name), method.request_value(), &method.doc);
            quote!(#[doc = #doc] pub #signature { self.0.call(#value) })
        });
        quote! {
            #[doc = #doc]
            #[derive(Clone, Debug)]
            #vis struct #handle(::odeon::Handle<#name>);

            impl #handle {
                #(#methods)*

                /// A handle to an actor of another server. Nothing is sent; whether it exists shows at the first call.
                #[must_use]
                pub fn remote(
                    reference: ::odeon::private::Reference,
                    route: ::odeon::private::Arc<dyn ::odeon::Route>,
                ) -> Self {
                    Self(::odeon::Handle::remote(reference, route))
                }

                /// The actor as one that takes this one request.
                #[must_use]
                pub fn recipient<Q: ::odeon::Request<#name>>(&self) -> ::odeon::Recipient<Q, Q::Reply> {
                    self.0.recipient()
                }

                /// The actor's id in its server.
                #[must_use]
                pub fn id(&self) -> ::odeon::private::ActorId {
                    self.0.id()
                }

                /// Whether the actor is known to have ended. Of an actor on another server nothing is known: `false`.
                #[must_use]
                pub fn is_dead(&self) -> bool {
                    self.0.is_dead()
                }

                /// Waits for the actor's end and says why it came; a mock never ends.
                pub async fn ended(&self) -> ::odeon::ExitReason {
                    self.0.ended().await
                }

                /// Waits for a sign of life, answered through the control lane whatever is queued.
                pub async fn ping(&self) -> ::odeon::private::Result<(), ::odeon::AskError> {
                    self.0.ping().await
                }
            }

            #[automatically_derived]
            impl<A: ::odeon::Speaks<#name>> ::core::convert::From<::odeon::Handle<A>> for #handle {
                fn from(handle: ::odeon::Handle<A>) -> Self {
                    Self(handle.narrowed())
                }
            }

            #[automatically_derived]
            impl<A: ::odeon::Speaks<#name>> ::core::convert::From<&::odeon::Handle<A>> for #handle {
                fn from(handle: &::odeon::Handle<A>) -> Self {
                    ::core::clone::Clone::clone(handle).into()
                }
            }
        }
    }

    /// The stand-in for tests.
    fn mock(&self) -> TokenStream {
        let (name, vis, handle) = (self.name(), &self.item.vis, self.handle_name());
        let (mock, message) = (self.mock_name(), self.message_name());
        let answers = format_ident!("__{}Answers", name, span = Span::call_site());
        let doc = format!(
            "Stands in for an actor that speaks [`{name}`]: it answers at once, as it is told, and writes down its calls. Clones are one mock."
        );
        let fields = self.methods.iter().map(|method| {
            let (method, closure) = (&method.method, method.answer_type());
            quote!(#method: ::odeon::private::Option<::odeon::private::Arc<#closure>>,)
        });
        let setters = self.methods.iter().map(|method| {
            let (name, on) =
                (&method.method, format_ident!("on_{}", method.method, span = Span::call_site()));
            let (types, reply) = (method.fields.iter().map(|(_, ty)| ty), &method.reply);
            let doc = format!("Has `{name}` answered so, on the caller's stack.");
            quote! {
                #[doc = #doc]
                #[must_use]
                pub fn #on(self, answer: impl Fn(#(#types),*) -> #reply + Send + Sync + 'static) -> Self {
                    self.0.change(|answers| {
                        answers.#name = ::odeon::private::Option::Some(::odeon::private::Arc::new(answer));
                    });
                    self
                }
            }
        });
        let arms = self.methods.iter().map(|method| method.mock_arm(&message));
        quote! {
            #[doc = #doc]
            #[derive(Clone, Debug)]
            #vis struct #mock(::odeon::private::Mock<#answers>);

            #[doc(hidden)]
            #[derive(Default)]
            #vis struct #answers { #(#fields)* }

            impl #mock {
                /// A mock without answers: an ask for what it has none for is refused.
                #[must_use]
                pub fn new() -> Self {
                    Self(::odeon::private::Mock::new(::core::default::Default::default()))
                }

                #(#setters)*

                /// A handle to it, in a system or without any.
                #[must_use]
                pub fn handle(&self) -> #handle {
                    #handle(self.0.handle(|__mock, __message| {
                        use ::odeon::private::{ShowDebug as _, ShowNothing as _};
                        match __message { #(#arms)* }
                        ::odeon::private::Result::Ok(())
                    }))
                }

                /// The calls so far, such as `add(2)`: the arguments as `Debug` shows them, or `_`.
                #[must_use]
                pub fn calls(&self) -> ::odeon::private::Vec<::odeon::private::String> {
                    self.0.calls()
                }
            }

            #[automatically_derived]
            impl ::core::default::Default for #mock {
                fn default() -> Self {
                    Self::new()
                }
            }

            #[automatically_derived]
            impl ::core::convert::From<&#mock> for #handle {
                fn from(mock: &#mock) -> Self {
                    mock.handle()
                }
            }
        }
    }

    /// The macro by which `#[actor]` learns of the protocol.
    fn describing(&self) -> TokenStream {
        let (name, vis) = (self.name(), &self.item.vis);
        let mark = self.mark.as_ref().map(LitStr::value).unwrap_or_default();
        let mut item = self.item.clone();
        item.vis = Visibility::Inherited;
        item.attrs.clear();
        // Two protocols of one name may be exported by one crate.
        let mut hasher = DefaultHasher::new();
        self.item.to_token_stream().to_string().hash(&mut hasher);
        let hidden =
            format_ident!("__odeon_protocol_{}_{:x}", name, hasher.finish(), span = Span::call_site());
        let exported = format_ident!("{}", name, span = Span::call_site());
        let export = matches!(vis, Visibility::Public(_)).then(|| quote!(#[macro_export]));
        quote! {
            #[doc(hidden)]
            #export
            macro_rules! #hidden {
                ($($state:tt)*) => {
                    ::odeon::private::actor_with_protocols! { { #mark #item } $($state)* }
                };
            }
            #[doc(hidden)]
            #vis use #hidden as #exported;
        }
    }
}

impl Handler {
    /// The closure that answers for a mock.
    fn answer_type(&self) -> TokenStream {
        let (types, reply) = (self.fields.iter().map(|(_, ty)| ty), &self.reply);
        quote!(dyn Fn(#(#types),*) -> #reply + Send + Sync)
    }

    /// The arm of a mock's `match`.
    fn mock_arm(&self, message: &Ident) -> TokenStream {
        let Self { method, variant, request, .. } = self;
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        let name = method.to_string();
        let text = format!("{name}({})", vec!["{}"; names.len()].join(", "));
        let unboxed = if self.access.is_boxed { quote!(*__request) } else { quote!(__request) };
        quote! {
            #message::#variant(__request, __reply) => {
                let #request { #(#names),* } = #unboxed;
                __mock.record(::std::format!(#text, #((&::odeon::private::Shown(&#names)).show()),*));
                let __answer = __mock.answer(#name, |answers| {
                    ::core::clone::Clone::clone(&answers.#method)
                })?;
                __reply.send(__answer(#(#names),*));
            }
        }
    }
}

/// Asks the next protocol what it consists of.
pub(crate) fn gather(
    paths: &[Path],
    known: &[TokenStream],
    arguments: &TokenStream,
    item: &TokenStream,
) -> Result<TokenStream> {
    let next = &paths[known.len()];
    Ok(quote! { #next! { { #(#paths),* } { #(#known)* } { #arguments } { #item } } })
}

/// An expansion of `#[actor]` under way.
struct Gathered {
    paths: Vec<Path>,
    known: Vec<TokenStream>,
    arguments: TokenStream,
    item: TokenStream,
}

impl Parse for Gathered {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let newest = group(input)?;
        let paths = syn::punctuated::Punctuated::<Path, Token![,]>::parse_terminated.parse2(group(input)?)?;
        let paths = paths.into_iter().collect();
        let mut known: Vec<TokenStream> = Vec::new();
        let earlier;
        braced!(earlier in input);
        while !earlier.is_empty() {
            let description = group(&earlier)?;
            known.push(quote!({ #description }));
        }
        known.push(quote!({ #newest }));
        Ok(Self { paths, known, arguments: group(input)?, item: group(input)? })
    }
}

fn group(input: ParseStream<'_>) -> Result<TokenStream> {
    let inner;
    braced!(inner in input);
    inner.parse()
}

/// Goes on with an expansion of `#[actor]`, one more protocol being known.
pub(crate) fn resume(state: TokenStream) -> Result<TokenStream> {
    let Gathered { paths, known, arguments, item } = syn::parse2(state)?;
    if known.len() < paths.len() {
        return gather(&paths, &known, &arguments, &item);
    }
    let described = paths.into_iter().zip(known).map(|(path, description)| described(path, description));
    let described = described.collect::<Result<Vec<_>>>()?;
    crate::actor::expand_with(arguments, item, described)
}

fn described(path: Path, description: TokenStream) -> Result<Described> {
    let parse = |input: ParseStream<'_>| {
        let inner;
        braced!(inner in input);
        Ok((inner.parse::<LitStr>()?, inner.parse::<ItemTrait>()?))
    };
    let (mark, item) = parse.parse2(description)?;
    let mark = Some(mark.value()).filter(|mark| !mark.is_empty());
    Ok(Described { path, name: item.ident.clone(), mark, methods: methods(&item)?, taken: BTreeSet::new() })
}
