//! The handlers of an actor that are its protocols' methods.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ImplItem, ItemImpl, Path, Result, Type, parse_quote};

use crate::handler::{Handler, Place};
use crate::protocol::Described;

/// Which method of which protocol a handler is, and what its author wrote.
pub(crate) struct Spoken {
    /// The protocol, as the actor's attribute names it.
    protocol: Path,
    pub(crate) mark: Option<String>,
    /// The method's number in the protocol.
    method: usize,
    /// Whether the protocol's message holds the arguments in a box.
    is_boxed: bool,
    /// The types of the handler's arguments.
    arguments: Vec<Type>,
    /// What the handler answers.
    reply: Type,
}

impl Spoken {
    /// The actor's name for the protocol's request, and how it is answered at once.
    pub(crate) fn handler_items(
        &self,
        actor: &Ident,
        request: &Ident,
        at_once: Option<TokenStream>,
        may_answer_later: bool,
    ) -> TokenStream {
        let Self { protocol, method, .. } = self;
        quote! {
            #[doc(hidden)]
            pub type #request = <#protocol as ::odeon::private::ProtocolMethod<#method>>::Request;

            #[automatically_derived]
            impl ::odeon::private::ProtocolHandler<#protocol, #method> for #actor {
                const MAY_ANSWER_LATER: bool = #may_answer_later;

                #at_once
            }
        }
    }

    /// What answering at once comes to: the answer, or the request.
    pub(crate) fn outcome(&self) -> TokenStream {
        let Self { protocol, method, .. } = self;
        let of_protocol = quote!(<#protocol as ::odeon::private::ProtocolMethod<#method>>);
        quote!(#of_protocol::Reply, #of_protocol::Request)
    }

    /// The arguments, each asserted to be what the protocol says, where the handler's author wrote its type.
    pub(crate) fn arguments(
        &self,
        places: &[Place],
        values: impl Iterator<Item = TokenStream>,
    ) -> Vec<TokenStream> {
        let mut types = self.arguments.iter();
        let reply = &self.reply;
        let asserted = places.iter().zip(values).map(|(place, value)| {
            let ty = match place {
                Place::Field(_) => types.next().map(|ty| (ty.span(), quote!(#ty))),
                Place::Reply => Some((reply.span(), quote!(::odeon::Reply<#reply>))),
                Place::Context => None,
            };
            let Some((span, ty)) = ty else {
                return value;
            };
            quote_spanned!(span=> { let __sent = #value; ::odeon::private::Argument::<#ty>::argument(__sent) })
        });
        asserted.collect()
    }

    /// The answer, asserted to be the protocol's.
    pub(crate) fn answer(&self, call: &TokenStream) -> TokenStream {
        let Self { protocol, method, reply, .. } = self;
        // Only what may be refused stands at the type's place: lints look at the rest.
        let own = Ident::new("__own", reply.span());
        let asserted = quote_spanned! {reply.span()=>
            ::odeon::private::Answer::<<#protocol as ::odeon::private::ProtocolMethod<#method>>::Reply>::answer(#own)
        };
        quote!({ let #own = #call; #asserted })
    }
}

/// Makes a handler the method of the protocol that asks for one of its name, if one does.
pub(crate) fn adopt(protocols: &mut [Described], handler: &mut Handler) -> Result<()> {
    let asks =
        |protocol: &Described| protocol.methods.iter().position(|method| method.method == handler.method);
    let mut asking =
        protocols.iter_mut().filter_map(|protocol| asks(protocol).map(|index| (protocol, index)));
    let Some((protocol, index)) = asking.next() else {
        return Ok(());
    };
    if let Some((second, _)) = asking.next() {
        let what = format!(
            "two protocols ask for a handler `{}`, `{}` and `{}`: an actor has one handler of a name, so rename the method in one of them",
            handler.method, protocol.name, second.name
        );
        return Err(Error::new_spanned(&handler.method, what));
    }
    let method = &protocol.methods[index];
    let says = format!("the protocol `{}` says `{}`", protocol.name, method.text());
    if handler.fields.len() != method.fields.len() {
        let what = format!("{says}: take the same arguments");
        return Err(Error::new_spanned(&handler.method, what));
    }
    if handler.access.is_local {
        let what = format!("{says}, and is asked for from other servers too: leave `local` out");
        return Err(Error::new_spanned(&handler.method, what));
    }
    if !protocol.taken.insert(index) {
        let what = format!("the protocol's method `{}` has a handler already", handler.method);
        return Err(Error::new_spanned(&handler.method, what));
    }
    let path = &protocol.path;
    let mut arguments = Vec::new();
    for (number, (field, (name, _))) in handler.fields.iter_mut().zip(&method.fields).enumerate() {
        let of_protocol = parse_quote!(<#path as ::odeon::private::ProtocolArgument<#index, #number>>::Type);
        arguments.push(std::mem::replace(&mut field.1, of_protocol));
        field.0.clone_from(name);
    }
    let names = handler.fields.iter().map(|(name, _)| name);
    let fields = handler.places.iter_mut().filter_map(|place| match place {
        Place::Field(name) => Some(name),
        Place::Context | Place::Reply => None,
    });
    fields.zip(names).for_each(|(place, name)| place.clone_from(name));
    let of_protocol = parse_quote!(<#path as ::odeon::private::ProtocolMethod<#index>>::Reply);
    let mut reply = std::mem::replace(&mut handler.reply, of_protocol);
    if let Type::Tuple(unit) = &reply
        && unit.elems.is_empty()
    {
        // Nothing may be written there: then the method's name is the place.
        let span = handler.method.span();
        reply = syn::parse2(quote_spanned!(span=> ()))?;
    }
    let is_boxed = method.access.is_boxed;
    handler.access.is_boxed |= is_boxed;
    handler.spoken = Some(Spoken {
        protocol: path.clone(),
        mark: protocol.mark.clone(),
        method: index,
        is_boxed,
        arguments,
        reply,
    });
    if handler.doc.is_empty() {
        handler.doc.clone_from(&method.doc);
    }
    Ok(())
}

/// Refuses an actor that lacks a handler.
pub(crate) fn check_complete(protocols: &[Described], actor: &Ident, item: &ItemImpl) -> Result<()> {
    for protocol in protocols {
        let missing = protocol.methods.iter().enumerate().find(|(index, _)| !protocol.taken.contains(index));
        let Some((_, method)) = missing else {
            continue;
        };
        let unmarked = item.items.iter().find_map(|item| match item {
            ImplItem::Fn(function) if function.sig.ident == method.method => Some(&function.sig.ident),
            _ => None,
        });
        if let Some(unmarked) = unmarked {
            let what =
                format!("the protocol `{}` asks for this method: write #[handle] on it", protocol.name);
            return Err(Error::new_spanned(unmarked, what));
        }
        let what = format!(
            "`{actor}` has no handler `{}`, which the protocol `{}` asks for: write `#[handle] {}`",
            method.method,
            protocol.name,
            method.text().replacen("&self", "&mut self", 1),
        );
        return Err(Error::new_spanned(&protocol.path, what));
    }
    Ok(())
}

/// What makes the actor speak the protocol.
pub(crate) fn speaks(
    protocol: &Described,
    actor: &Ident,
    message: &Ident,
    handlers: &[Handler],
) -> TokenStream {
    let path = &protocol.path;
    let spoken = || {
        let spoken = handlers.iter().filter_map(|handler| Some((handler, handler.spoken.as_ref()?)));
        spoken.filter(|(_, spoken)| spoken.protocol == *path)
    };
    let arms = spoken().map(|(handler, spoken)| {
        let variant = &handler.variant;
        let request = if handler.access.is_boxed && !spoken.is_boxed {
            quote!(::odeon::private::Box::new(__request))
        } else {
            quote!(__request)
        };
        quote!(__Asked::#variant(__request, __reply) => #message::#variant(#request, __reply),)
    });
    let short = spoken().filter(|(handler, _)| handler.returns()).map(|(handler, _)| &handler.request);
    quote! {
        #[automatically_derived]
        impl ::odeon::Speaks<#path> for #actor {
            fn translate(__message: <#path as ::odeon::Actor>::Message) -> #message {
                type __Asked = <#path as ::odeon::Actor>::Message;
                match __message { #(#arms)* }
            }

            fn shortcut(__shortcut: &mut ::odeon::private::Shortcut<'_, Self>) {
                let _ = false #( || __shortcut.offer::<#short>() )*;
            }
        }
    }
}
