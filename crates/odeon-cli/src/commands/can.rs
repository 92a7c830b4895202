//! `can`: whether somebody may do something, before it is tried.

use odeon_core::{ActorId, Reference};
use odeon_server::{ControlCalls as _, Verdict};

use crate::args::Can;
use crate::context::Context;
use crate::error::{CliError, ExitStatus};

pub(crate) async fn can(context: &Context, question: Can) -> Result<(), CliError> {
    let console = context.console().await?;
    let on = match &question.on {
        Some(on) => context.reference(on)?,
        None => Reference::new(console.supervisor_id(), ActorId::SERVER),
    };
    let who = match question.who.as_str() {
        "me" => console.server.id().clone(),
        who => context.server_id(who)?,
    };
    let control = console.control(&on.server).await?;
    let answer = control.can(who, question.what, Some(on.actor), question.mark, question.path);
    let verdict: Verdict = answer.within(console.timeout).await??;
    context.output().data(&verdict, |verdict| {
        let word = if verdict.allowed { "yes" } else { "no" };
        format!("{word}: {}", verdict.why)
    });
    if verdict.allowed {
        return Ok(());
    }
    Err(CliError::new(ExitStatus::NotAuthorised, "not-authorised", "that may not be done")
        .help("`admin authorize` grants it, or `auth` of odeon.toml"))
}
