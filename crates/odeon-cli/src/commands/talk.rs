//! The commands that speak to any actor: `describe`, `tell`, `ask`.

use odeon_actor::RemoteCall;
use odeon_core::{Encoding, ProtocolDescription, Reference};
use odeon_server::ControlCalls;
use serde_json::Value;

use crate::args::Message;
use crate::context::{Console, Context};
use crate::error::CliError;

pub(crate) async fn describe(context: &Context, target: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let target = context.reference(target)?;
    let protocol = protocol(context, &console, &target).await?;
    context.output().data(&protocol, show_protocol);
    Ok(())
}

async fn protocol(
    context: &Context,
    console: &Console,
    target: &Reference,
) -> Result<ProtocolDescription, CliError> {
    let control = console.control(&target.server);
    Ok(control.describe(target.actor.clone()).within(context.global.timeout).await??)
}

fn show_protocol(protocol: &ProtocolDescription) -> String {
    let mut text = format!("{}  {}", protocol.mark, protocol.doc);
    for method in &protocol.methods {
        let needs = method.needs.as_ref().map_or_else(String::new, |needs| format!("  (needs {needs})"));
        text.push_str(&format!("\n\n{}{needs}\n    {}", method.mark, method.doc));
        text.push_str(&format!("\n    takes   {}", compact(&method.arguments)));
        text.push_str(&format!("\n    answers {}", compact(&method.reply)));
    }
    text
}

/// A schema on one line, without what only programs read.
fn compact(schema: &Value) -> String {
    let mut schema = schema.clone();
    if let Some(object) = schema.as_object_mut() {
        for key in ["$schema", "title", "description"] {
            object.remove(key);
        }
    }
    schema.to_string()
}

pub(crate) async fn tell(context: &Context, message: Message) -> Result<(), CliError> {
    let console = context.console().await?;
    let call = prepare(context, &console, message).await?;
    // Whether it is refused shows in the answer, which a tell has none of: the actor is known by now, and the
    // message fits its protocol.
    Ok(console.server.tell_encoded(call).await?)
}

pub(crate) async fn ask(context: &Context, message: Message) -> Result<(), CliError> {
    let console = context.console().await?;
    let call = prepare(context, &console, message).await?;
    let (_, bytes) = console.server.ask_encoded(call).await?;
    let answer: Value = serde_json::from_slice(&bytes)
        .map_err(|e| CliError::failed("bad-payload", format!("the answer is not JSON: {e}")))?;
    context.output().data(&answer, |answer| serde_json::to_string_pretty(answer).unwrap_or_default());
    Ok(())
}

/// Completes the mark from what the actor says it understands, and checks that the arguments are JSON.
async fn prepare(context: &Context, console: &Console, message: Message) -> Result<RemoteCall, CliError> {
    let to = context.reference(&message.target)?;
    let arguments: Value = serde_json::from_str(&message.arguments).map_err(|error| {
        CliError::new(
            crate::error::ExitStatus::Usage,
            "malformed-json",
            format!("the arguments are not JSON: {error}"),
        )
        .help(r#"write them as one object in quotes: '{"text": "hi"}'"#)
    })?;
    let protocol = protocol(context, console, &to).await?;
    let mark = protocol.method(&message.mark)?.mark.clone();
    let clock = console.server.clock();
    Ok(RemoteCall {
        to,
        from: 0,
        mark,
        encoding: Encoding::Json,
        payload: arguments.to_string().into_bytes(),
        expires_at: Some(clock.now() + context.global.timeout),
    })
}
