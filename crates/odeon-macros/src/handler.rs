//! One `#[handle]` method, as the macro sees it.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericArgument, Ident, ImplItemFn, LitStr, Pat, PathArguments, Result, ReturnType,
    Signature, Type,
};

use crate::docs::first_paragraph;
use crate::names::{is_kebab, kebab, pascal};

/// What `Handle` calls its own methods, and what the prelude's traits give it.
const HANDLE_METHODS: [&str; 15] = [
    "call",
    "clone",
    "demonitor",
    "depth",
    "drain",
    "ended",
    "id",
    "into",
    "is_dead",
    "kill",
    "monitor",
    "ping",
    "stop",
    "to_owned",
    "try_into",
];

/// Who may send to a handler.
#[derive(Default)]
pub(crate) struct Access {
    /// Only this process; other servers do not even see it.
    pub(crate) is_local: bool,
    /// What senders on other servers need.
    pub(crate) needs: Option<LitStr>,
    /// An ask to an idle actor may always run on the asker's stack.
    pub(crate) is_inline: bool,
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
    fields: Vec<(Ident, Type)>,
    /// The arguments of the method, in order.
    places: Vec<Place>,
    pub(crate) reply: Type,
    answers_itself: bool,
}

enum Place {
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
        let names = self.fields.iter().map(|(name, _)| name);
        let types = self.fields.iter().map(|(_, ty)| ty);
        let doc = format!("The arguments of [`{actor}::{}`].", self.method);
        let shown = format!("{request}(..)");
        let derives = mark.map(|_| {
            quote! {
                #[derive(
                    ::odeon::private::serde::Serialize,
                    ::odeon::private::serde::Deserialize,
                    ::odeon::private::schemars::JsonSchema,
                )]
                #[serde(crate = "::odeon::private::serde")]
                #[schemars(crate = "::odeon::private::schemars")]
            }
        });
        // First of all, and where the user wrote the type: what the derives say comes with their own places.
        let travellers = mark.iter().flat_map(|_| self.fields.iter().map(|(_, ty)| ty).chain([reply]));
        let asserted =
            travellers.map(|ty| quote_spanned!(ty.span()=> ::odeon::private::must_be_a_message::<#ty>();));
        let assertions = mark.map(|_| quote!(const _: fn() = || { #(#asserted)* };));
        let travel = mark.map(|mark| {
            quote! {
                const MARK: ::odeon::private::Option<&'static str> = ::odeon::private::Option::Some(#mark);

                fn encode(
                    &self,
                    out: &mut ::odeon::private::Vec<u8>,
                ) -> ::odeon::private::Result<(), ::odeon::private::CodecError> {
                    ::odeon::private::encode(self, ::odeon::private::Encoding::Cbor, out)
                }

                fn decode_reply(
                    encoding: ::odeon::private::Encoding,
                    bytes: &[u8],
                ) -> ::odeon::private::Result<Self::Reply, ::odeon::private::CodecError> {
                    ::odeon::private::decode(encoding, bytes)
                }
            }
        });
        let at_once = self.answer_now(actor);
        quote! {
            #assertions

            #[doc = #doc]
            #derives
            pub struct #request {
                #( #[expect(missing_docs, reason = "an argument of the method")] pub #names: #types, )*
            }

            // Without the arguments: they need not be printable, and may hold a secret.
            #[automatically_derived]
            impl ::core::fmt::Debug for #request {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(#shown)
                }
            }

            #[automatically_derived]
            impl ::odeon::Request<#actor> for #request {
                type Reply = #reply;

                fn into_message(self, reply: ::odeon::Reply<Self::Reply>) -> #message {
                    #message::#variant(self, reply)
                }

                #at_once
                #travel
            }
        }
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
        let arguments = self.places.iter().map(|place| match place {
            Place::Field(name) => quote!(#name),
            Place::Context | Place::Reply => quote!(__cx),
        });
        self.returns().then(|| {
            quote! {
                const INLINE: ::odeon::Inline = ::odeon::Inline::#inline;

                fn answer_now(
                    self,
                    __actor: &mut #actor,
                    __cx: &mut ::odeon::Cx<#actor>,
                ) -> ::odeon::private::Result<Self::Reply, Self> {
                    let #request { #(#names),* } = self;
                    ::odeon::private::Result::Ok(__actor.#method(#(#arguments),*))
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

    /// The arm of the actor's `match`, whoever comes to it.
    pub(crate) fn dispatch(&self, message: &Ident) -> TokenStream {
        let Self { variant, request, method, .. } = self;
        let names = self.fields.iter().map(|(name, _)| name);
        let arguments = self.places.iter().map(|place| match place {
            Place::Field(name) => quote!(#name),
            Place::Context => quote!(__cx),
            Place::Reply => quote!(__reply),
        });
        let wait = self.is_async.then(|| quote!(.await));
        let call = quote!(self.#method(#(#arguments),*) #wait);
        let body = if self.answers_itself {
            quote!(#call)
        } else {
            quote!(let __answer = #call; __reply.send(__answer))
        };
        quote! {
            #message::#variant(#request { #(#names),* }, __reply) => { #body; }
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

fn is_called(ty: &Type, name: &str) -> bool {
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
