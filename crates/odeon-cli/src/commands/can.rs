//! `can`: whether somebody may do something, before it is tried.

use odeon_core::{ActorId, Reference, RefusalCode};
use odeon_server::{ControlCalls as _, Verdict};
use serde_json::json;

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
    let answer = control.can(who, question.what, Some(on.actor.clone()), question.mark, question.path);
    let verdict: Verdict = answer.within(console.timeout).await??;
    // A right may be given before there is anybody to use it on, and a name be mistyped.
    let described = control.describe(on.actor.clone()).within(console.timeout).await?;
    let is_there = !matches!(&described, Err(refusal) if is_missing(refusal.code));
    let Verdict { allowed, why, rights } = &verdict;
    let document = json!({ "allowed": allowed, "why": why, "rights": rights, "actor_is_there": is_there });
    context.output().data(&document, |_| {
        let word = if *allowed { "yes" } else { "no" };
        let missing = if is_there {
            String::new()
        } else {
            format!("\nbut there is no actor `{}` at {} now: see `list actors`", on.actor, on.server)
        };
        format!("{word}: {why}{missing}")
    });
    if verdict.allowed {
        return Ok(());
    }
    Err(CliError::new(ExitStatus::NotAuthorised, "not-authorised", "that may not be done")
        .help("`admin authorize` grants it, or `auth` of odeon.toml"))
}

/// Whether a refusal says that there is no such actor; a private one is there, and has nothing to describe.
const fn is_missing(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::UnknownActor | RefusalCode::StaleNumber)
}
