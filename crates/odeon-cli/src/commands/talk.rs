//! The commands that speak to any actor: `describe`, `tell`, `ask`.

use std::collections::BTreeMap;

use odeon_actor::{Arguments, RemoteCall};
use odeon_core::{Encoding, MethodDescription, ProtocolDescription, Reference};
use odeon_server::ControlCalls;
use serde_json::Value;

use crate::args::Message;
use crate::context::{Console, Context};
use crate::error::{CliError, ExitStatus};
use crate::schema::{compact, is_result, misfit};

pub(crate) async fn describe(context: &Context, target: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let target = context.reference(target)?;
    let protocol = protocol(&console, &target).await?;
    context.output().data(&protocol, show_protocol);
    Ok(())
}

async fn protocol(console: &Console, target: &Reference) -> Result<ProtocolDescription, CliError> {
    let control = console.control(&target.server).await?;
    Ok(control.describe(target.actor.clone()).within(console.timeout).await??)
}

/// The messages with their schemas; what these have in common is shown once, below.
fn show_protocol(protocol: &ProtocolDescription) -> String {
    let mut text = format!("{}  {}", protocol.mark, protocol.doc);
    let mut definitions = BTreeMap::new();
    for method in &protocol.methods {
        let needs = method.needs.as_ref().map_or_else(String::new, |needs| format!("  (needs {needs})"));
        text.push_str(&format!("\n\n{}{needs}\n    {}", method.mark, method.doc));
        text.push_str(&format!("\n    takes   {}", compact(&method.arguments, &mut definitions)));
        text.push_str(&format!("\n    answers {}", compact(&method.reply, &mut definitions)));
    }
    if !definitions.is_empty() {
        text.push_str("\n\nwhere, in #/$defs/,");
    }
    for (name, schema) in definitions {
        text.push_str(&format!("\n    {name} is {schema}"));
    }
    text
}

pub(crate) async fn tell(context: &Context, message: Message) -> Result<(), CliError> {
    let console = context.console().await?;
    let (call, method, arguments) = prepare(context, &console, message).await?;
    // A tell has no answer in which a refusal would show: what can be known is checked here.
    if let Some(why) = misfit(&arguments, &method.arguments) {
        return Err(CliError::failed("bad-payload", format!("{}: {why}", method.mark)));
    }
    let to = call.to.server.clone();
    console.server.tell_encoded(call).await?;
    // A link keeps the order of messages: once this one is answered, that one is there, and this process may end.
    console.control(&to).await?.status().within(console.timeout).await?;
    Ok(())
}

pub(crate) async fn ask(context: &Context, message: Message) -> Result<(), CliError> {
    let console = context.console().await?;
    let (call, method, _) = prepare(context, &console, message).await?;
    let (_, bytes) = console.server.ask_encoded(call).await?;
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(|e| CliError::failed("bad-payload", format!("the answer is not JSON: {e}")))?;
    context.output().data(&answer, |answer| serde_json::to_string_pretty(answer).unwrap_or_default());
    // The answer is printed as it is; a script need not look into it to see that it was a refusal.
    match answer.get("Err") {
        Some(why) if is_result(&method.reply) => {
            let why = why.as_str().map_or_else(|| why.to_string(), ToOwned::to_owned);
            Err(CliError::failed("err-answer", format!("the actor answered with an error: {why}")))
        }
        _ => Ok(()),
    }
}

/// Completes the mark from what the actor says it understands, and checks that the arguments are JSON.
async fn prepare(
    context: &Context,
    console: &Console,
    message: Message,
) -> Result<(RemoteCall, MethodDescription, Value), CliError> {
    let to = context.reference(&message.target)?;
    let arguments: Value = serde_json::from_str(&message.arguments).map_err(|error| {
        CliError::new(ExitStatus::Usage, "malformed-json", format!("the arguments are not JSON: {error}"))
            .help(r#"write them as one object in quotes: '{"text": "hi"}'"#)
    })?;
    let protocol = protocol(console, &to).await?;
    let method = protocol.method(&message.mark)?.clone();
    let call = RemoteCall {
        to,
        from: 0,
        nonce: 0,
        in_reply_to: None,
        mark: method.mark.clone().into(),
        arguments: Arguments::Encoded { encoding: Encoding::Json, bytes: arguments.to_string().into_bytes() },
        expires_at: Some(console.server.clock().now() + console.timeout),
    };
    Ok((call, method, arguments))
}
