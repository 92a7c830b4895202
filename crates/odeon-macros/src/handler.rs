//! One `#[handle]` method, as the macro sees it.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericArgument, Ident, ImplItemFn, LitStr, Pat, PathArguments, Result, ReturnType,
    Signature, Type,
};

use crate::docs::first_paragraph;
use crate::names::{is_kebab, kebab, pascal};
use crate::shape::outline;
use crate::spoken::Spoken;

/// What `Handle` calls its own methods, and what the prelude's traits give it.
const HANDLE_METHODS: [&str; 24] = [
    "as_protocol",
    "call",
    "clone",
    "demonitor",
    "depth",
    "drain",
    "ended",
    "explain",
    "forward",
    "id",
    "incarnation",
    "into",
    "is_dead",
    "kill",
    "monitor",
    "ping",
    "proxy",
    "recipient",
    "reference",
    "send_envelope",
    "stats",
    "stop",
    "to_owned",
    "try_into",
];

/// Most bytes of a request that is stored within the message; larger ones are boxed.
const UNBOXED_BYTES_MAX: usize = 128;

/// Who may send to a handler.
#[derive(Default)]
pub(crate) struct Access {
    /// Only this process; other servers do not even see it.
    pub(crate) is_local: bool,
    /// What senders on other servers need.
    pub(crate) needs: Option<LitStr>,
    /// An ask to an idle actor may always run on the asker's stack.
    pub(crate) is_inline: bool,
    /// The arguments are stored in a box: they are large.
    pub(crate) is_boxed: bool,
}

/// A method marked `#[handle]`.
pub(crate) struct Handler {
    pub(crate) method: Ident,
    pub(crate) is_async: bool,
    /// `counter` + `set_greeting` → `CounterSetGreeting`.
    pub(crate) request: Ident,
    pub(crate) variant: Ident,
    /// The method's name in marks.
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) access: Access,
    pub(crate) fields: Vec<(Ident, Type)>,
    /// The arguments of the method, in order.
    pub(crate) places: Vec<Place>,
    pub(crate) reply: Type,
    pub(crate) answers_itself: bool,
    /// The protocol's method that this one handles.
    pub(crate) spoken: Option<Spoken>,
}

pub(crate) enum Place {
    Field(Ident),
    Context,
    Reply,
}

impl Handler {
    pub(crate) fn parse(actor: &Ident, function: &ImplItemFn, access: Access) -> Result<Self> {
        let signature: Signature = syn::parse2(concrete(function.sig.to_token_stream(), actor))?;
        if !signature.generics.params.is_empty() {
            let what =
                "a handler cannot be generic: its arguments are stored in one enum; name the concrete types";
            return Err(Error::new_spanned(&signature.generics, what));
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, syn::ReceiverKind::Reference(..)) => {}
            _ => {
                return Err(Error::new_spanned(
                    &signature.ident,
                    "a handler takes `&mut self` or `&self` first",
                ));
            }
        }
        let name = kebab(&signature.ident.to_string());
        if !is_kebab(&name) {
            let what =
                "a handler's name becomes part of a mark: use a-z, 0-9 and `_`, beginning with a letter";
            return Err(Error::new_spanned(&signature.ident, what));
        }
        if HANDLE_METHODS.iter().any(|taken| signature.ident == taken) {
            let what = format!(
                "every handle has a method `{}` of its own, which would hide this one: choose another name",
                signature.ident
            );
            return Err(Error::new_spanned(&signature.ident, what));
        }
        let variant =
            format_ident!("{}", pascal(&signature.ident.to_string()), span = signature.ident.span());
        let mut handler = Self {
            method: signature.ident.clone(),
            is_async: signature.asyncness.is_some(),
            request: format_ident!("{}{}", actor, variant, span = signature.ident.span()),
            variant,
            name,
            doc: first_paragraph(&function.attrs),
            access,
            fields: Vec::new(),
            places: Vec::new(),
            reply: match &signature.output {
                ReturnType::Default => syn::parse_quote!(()),
                ReturnType::Type(_, ty) => (**ty).clone(),
            },
            answers_itself: false,
            spoken: None,
        };
        if let ReturnType::Type(_, ty) = &signature.output
            && let Type::Reference(_) = &**ty
        {
            let what = format!("a handler's answer travels to the asker, so it is owned: {}", owned(ty));
            return Err(Error::new_spanned(ty, what));
        }
        for input in inputs {
            handler.argument(input, &signature.output)?;
        }
        Ok(handler)
    }

    fn argument(&mut self, input: &FnArg, output: &ReturnType) -> Result<()> {
        let FnArg::Typed(argument) = input else {
            return Err(Error::new_spanned(input, "unexpected receiver"));
        };
        if let Type::Reference(reference) = &*argument.ty {
            if is_called(&reference.elem, "Cx") {
                self.places.push(Place::Context);
                return Ok(());
            }
            let what = format!(
                "a handler's arguments travel through the mailbox, so they are owned: {}",
                owned(&argument.ty)
            );
            return Err(Error::new_spanned(&argument.ty, what));
        }
        if is_called(&argument.ty, "Cx") {
            return Err(Error::new_spanned(&argument.ty, "the context is lent: take `cx: &mut Cx<Self>`"));
        }
        if let Type::ImplTrait(_) = &*argument.ty {
            let what = "an argument is stored in the message, so its type has a name: name the concrete type";
            return Err(Error::new_spanned(&argument.ty, what));
        }
        if is_called(&argument.ty, "Reply") {
            let Some(answer) = reply_type(&argument.ty) else {
                return Err(Error::new_spanned(&argument.ty, "say what is answered, such as `Reply<i64>`"));
            };
            if matches!(output, ReturnType::Type(..)) {
                let what = "a handler that takes `Reply` answers through it: it returns nothing";
                return Err(Error::new_spanned(output, what));
            }
            if self.answers_itself {
                return Err(Error::new_spanned(&argument.ty, "a request has one answer: take one `Reply`"));
            }
            self.reply = answer;
            self.answers_itself = true;
            self.places.push(Place::Reply);
            return Ok(());
        }
        let Pat::Ident(name) = &*argument.pat else {
            return Err(Error::new_spanned(
                &argument.pat,
                "a handler's argument is a plain name: it becomes a field",
            ));
        };
        self.fields.push((name.ident.clone(), (*argument.ty).clone()));
        self.places.push(Place::Field(name.ident.clone()));
        Ok(())
    }

    /// The struct that carries the arguments, and what makes it a request.
    pub(crate) fn request_items(&self, actor: &Ident, message: &Ident, mark: Option<&str>) -> TokenStream {
        let Self { request, variant, reply, .. } = self;
        if let Some(spoken) = &self.spoken {
            return spoken.handler_items(actor, request, self.answer_now(actor), self.answers_itself);
        }
        let declared =
            self.request_struct(&quote!(pub), &format!("[`{actor}::{}`]", self.method), mark.is_some());
        let (at_once, may_answer_later) = (self.answer_now(actor), self.answers_itself);
        let (stored, travel) = (self.stored(), mark.map(|mark| travel(mark, request, reply)));
        quote! {
            #declared

            #[automatically_derived]
            impl ::odeon::Request<#actor> for #request {
                type Reply = #reply;

                const MAY_ANSWER_LATER: bool = #may_answer_later;

                fn into_message(self, reply: ::odeon::Reply<Self::Reply>) -> #message {
                    #message::#variant(#stored, reply)
                }

                #at_once
                #travel
            }
        }
    }

    /// The struct alone; `of` is the method, for its documentation.
    pub(crate) fn request_struct(&self, vis: &impl ToTokens, of: &str, travels: bool) -> TokenStream {
        let Self { request, reply, .. } = self;
        let names = self.fields.iter().map(|(name, _)| name);
        let types = self.fields.iter().map(|(_, ty)| ty);
        let doc = format!("The arguments of {of}.");
        let shown = format!("{request}(..)");
        let derives = travels.then(|| {
            quote! {
                #[derive(
                    ::odeon::private::serde::Serialize,
                    ::odeon::private::serde::Deserialize,
                    ::odeon::private::schemars::JsonSchema,
                    ::odeon::private::Shape,
                )]
                #[serde(crate = "::odeon::private::serde")]
                #[schemars(crate = "::odeon::private::schemars")]
            }
        });
        // First of all, and where the user wrote the type: what the derives say comes with their own places.
        let travellers = self.fields.iter().map(|(_, ty)| ty).chain([reply]);
        let asserted =
            travellers.map(|ty| quote_spanned!(ty.span()=> ::odeon::private::must_be_a_message::<#ty>();));
        let assertions = travels.then(|| quote!(const _: fn() = || { #(#asserted)* };));
        let size = self.size_assertion();
        quote! {
            #assertions
            #size

            #[doc = #doc]
            #derives
            #vis struct #request {
                #( #[expect(missing_docs, reason = "an argument of the method")] pub #names: #types, )*
            }

            // Without the arguments: they need not be printable, and may hold a secret.
            #[automatically_derived]
            impl ::core::fmt::Debug for #request {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(#shown)
                }
            }
        }
    }

    /// Keeps the messages of a mailbox small: each takes the room of the largest.
    fn size_assertion(&self) -> Option<TokenStream> {
        let (request, method) = (&self.request, &self.method);
        let what = format!(
            "the arguments of `{method}` take more than {UNBOXED_BYTES_MAX} bytes, which every message in the mailbox would take: write #[handle(boxed)]"
        );
        (!self.access.is_boxed).then(|| {
            quote_spanned! {method.span()=>
                const _: () = ::core::assert!(::core::mem::size_of::<#request>() <= #UNBOXED_BYTES_MAX, #what);
            }
        })
    }

    /// The type of the request within the message.
    pub(crate) fn stored_type(&self) -> TokenStream {
        // Where the attribute stands: that the message is more public than a protocol's request is the macro's doing.
        let request = format_ident!("{}", self.request, span = Span::call_site());
        if self.access.is_boxed { quote!(::odeon::private::Box<#request>) } else { quote!(#request) }
    }

    /// `self`, a request, as it is stored in the message.
    pub(crate) fn stored(&self) -> TokenStream {
        if self.access.is_boxed { quote!(::odeon::private::Box::new(self)) } else { quote!(self) }
    }

    /// Whether an ask can be answered by a plain call: the answer is what the method returns.
    pub(crate) fn returns(&self) -> bool {
        !self.is_async && !self.answers_itself
    }

    /// How an ask is answered on the asker's stack.
    fn answer_now(&self, actor: &Ident) -> Option<TokenStream> {
        let Self { request, method, .. } = self;
        let inline = if self.access.is_inline { quote!(Always) } else { quote!(Measured) };
        let names = self.fields.iter().map(|(name, _)| name);
        let arguments = self.arguments();
        let answer = self.answer(quote!(__actor.#method(#(#arguments),*)));
        let (receiver, outcome) = match &self.spoken {
            Some(spoken) => (quote!(__request: #request), spoken.outcome()),
            None => (quote!(self), quote!(Self::Reply, Self)),
        };
        let given = if self.spoken.is_some() { quote!(__request) } else { quote!(self) };
        self.returns().then(|| {
            quote! {
                const INLINE: ::odeon::Inline = ::odeon::Inline::#inline;

                fn answer_now(
                    #receiver,
                    __actor: &mut #actor,
                    __cx: &mut ::odeon::Cx<#actor>,
                ) -> ::odeon::private::Result<#outcome> {
                    let #request { #(#names),* } = #given;
                    ::odeon::private::Result::Ok(#answer)
                }
            }
        })
    }

    /// The arm of `handle_now`: the others never come to it.
    pub(crate) fn dispatch_now(&self, message: &Ident) -> TokenStream {
        let variant = &self.variant;
        if self.is_async {
            quote!(#message::#variant(..) => ::core::unreachable!("it waits"),)
        } else {
            self.dispatch(message)
        }
    }

    /// The arm of `waits`.
    pub(crate) fn waits(&self, message: &Ident) -> TokenStream {
        let Self { variant, is_async, .. } = self;
        quote!(#message::#variant(..) => #is_async)
    }

    /// The arm of `may_answer_later`.
    pub(crate) fn may_answer_later(&self, message: &Ident) -> TokenStream {
        let Self { variant, answers_itself, .. } = self;
        quote!(#message::#variant(..) => #answers_itself)
    }

    /// The arm of the actor's `match`, whoever comes to it.
    pub(crate) fn dispatch(&self, message: &Ident) -> TokenStream {
        let Self { variant, request, method, .. } = self;
        let names = self.fields.iter().map(|(name, _)| name);
        let arguments = self.arguments();
        let wait = self.is_async.then(|| quote!(.await));
        let call = quote!(self.#method(#(#arguments),*) #wait);
        let body = if self.answers_itself {
            quote!(#call)
        } else {
            let answer = self.answer(call);
            quote!(let __answer = #answer; __reply.send(__answer))
        };
        if self.access.is_boxed {
            return quote! {
                #message::#variant(__request, __reply) => {
                    let #request { #(#names),* } = *__request;
                    #body;
                }
            };
        }
        quote! {
            #message::#variant(#request { #(#names),* }, __reply) => { #body; }
        }
    }

    /// What the method is called with, in order.
    fn arguments(&self) -> Vec<TokenStream> {
        let places = self.places.iter();
        let written = places.map(|place| match place {
            Place::Field(name) => quote!(#name),
            Place::Context => quote!(__cx),
            Place::Reply => quote!(__reply),
        });
        match &self.spoken {
            Some(spoken) => spoken.arguments(&self.places, written),
            None => written.collect(),
        }
    }

    /// The answer that the call gives.
    fn answer(&self, call: TokenStream) -> TokenStream {
        match &self.spoken {
            Some(spoken) => spoken.answer(&call),
            None => call,
        }
    }

    /// The signature of the method in the calls trait.
    pub(crate) fn call_signature(&self, actor: &Ident) -> TokenStream {
        let Self { method, request, .. } = self;
        let names = self.fields.iter().map(|(name, _)| name);
        let types = self.fields.iter().map(|(_, ty)| ty);
        quote!(fn #method(&self, #(#names: #types),*) -> ::odeon::Call<'_, #actor, #request>)
    }

    /// The value of the request, from the call's arguments.
    pub(crate) fn request_value(&self) -> TokenStream {
        let request = &self.request;
        let names = self.fields.iter().map(|(name, _)| name);
        quote!(#request { #(#names),* })
    }
}

/// How this request travels, by this mark.
pub(crate) fn travel(mark: &str, request: &Ident, reply: &Type) -> TokenStream {
    let (arguments, reply) = (outline(&quote!(#request)), outline(&quote!(#reply)));
    quote! {
        const MARK: ::odeon::private::Option<&'static str> = ::odeon::private::Option::Some(#mark);

        fn fingerprint() -> ::odeon::private::Option<::odeon::private::Fingerprint> {
            use ::odeon::private::{NotOutlined as _, Outlined as _};
            static KNOWN: ::odeon::private::LazyLock<
                ::odeon::private::Option<::odeon::private::Fingerprint>,
            > = ::odeon::private::LazyLock::new(|| {
                ::odeon::private::Fingerprint::of_method(|__to| #arguments, |__to| #reply)
            });
            *KNOWN
        }

        fn encode(
            &self,
            encoding: ::odeon::private::Encoding,
            out: &mut ::odeon::private::Vec<u8>,
        ) -> ::odeon::private::Result<(), ::odeon::private::CodecError> {
            ::odeon::private::encode(self, encoding, out)
        }

        fn decode_reply(
            encoding: ::odeon::private::Encoding,
            bytes: &[u8],
        ) -> ::odeon::private::Result<Self::Reply, ::odeon::private::CodecError> {
            ::odeon::private::decode(encoding, bytes)
        }
    }
}

/// The entry of an actor, or a protocol, in the list of all that the program links.
pub(crate) fn linked(actor: &Ident) -> TokenStream {
    quote! {
        const _: () = {
            ::odeon::private::inventory::submit! {
                ::odeon::private::LinkedProtocol(<#actor as ::odeon::Actor>::protocol)
            }
        };
    }
}

/// The tokens with `Self` written out: in the structs that the macro writes it would mean another type.
fn concrete(tokens: TokenStream, actor: &Ident) -> TokenStream {
    let write_out = |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => {
            let mut name = actor.clone();
            name.set_span(ident.span());
            TokenTree::Ident(name)
        }
        TokenTree::Group(group) => {
            let mut written = Group::new(group.delimiter(), concrete(group.stream(), actor));
            written.set_span(group.span());
            TokenTree::Group(written)
        }
        other => other,
    };
    tokens.into_iter().map(write_out).collect()
}

/// What to write in the place of a reference.
fn owned(ty: &Type) -> &'static str {
    let Type::Reference(reference) = ty else {
        return "drop the `&`";
    };
    match &*reference.elem {
        Type::Slice(_) => "write `Vec<…>`",
        Type::TraitObject(_) => "name the concrete type",
        inner if is_called(inner, "str") => "write `String`",
        _ => "drop the `&`",
    }
}

pub(crate) fn is_called(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == name)
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// `Reply<T>` → `T`.
fn reply_type(ty: &Type) -> Option<Type> {
    match &last_segment(ty)?.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty.clone()),
            _ => None,
        },
        _ => None,
    }
}
