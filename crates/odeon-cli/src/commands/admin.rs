//! `admin`: the ensemble's secret, its admin key, and what is granted.

use odeon_auth::{AdminError, AdminFiles, Cookie, CookieError, Existing, GrantChain, GrantId, GrantKey};
use odeon_core::moment;
use odeon_core::seam::Disk as _;
use odeon_server::{GrantEntry, Home, OsDisk, OsRng, Retract, all_grants};
use serde_json::json;

use crate::args::Admin;
use crate::commands::grant::{self, Kept, RefusedAt};
use crate::context::Context;
use crate::error::CliError;
use crate::passphrases::Passphrases;

/// Whose passphrase is asked for.
pub(crate) const ADMIN_KEY: &str = "the admin key";

pub(crate) async fn admin(context: &Context, admin: Admin) -> Result<(), CliError> {
    match admin {
        Admin::Cookie { force, view } => cookie(context, force, view),
        Admin::Keys { view: true, .. } => view_keys(context),
        Admin::Keys { force, passphrase_fd, .. } => keys(context, force, passphrase_fd),
        Admin::Authorize(options) => grant::authorize(context, options).await,
        Admin::Narrow(options) => grant::narrow(context, options),
        Admin::Retract { server, what } => retract(context, &server, &what).await,
        Admin::Grants { server: Some(server) } => grants_at(context, &server).await,
        Admin::Grants { server: None } => grants_here(context),
    }
}

const fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Keep }
}

fn cookie(context: &Context, force: bool, view: bool) -> Result<(), CliError> {
    let failed = |e| CliError::of("cookie", &e);
    if view {
        let help = format!("`{0} up` or `{0} admin cookie` makes one", context.name());
        let none = || CliError::failed("cookie", "there is no cookie here yet").help(help);
        let cookie = Cookie::load(&context.home_if_made()?.ok_or_else(none)?.cookie()).map_err(failed)?;
        context.output().data(&json!({ "cookie": *cookie.to_hex() }), |_| cookie.to_hex().to_string());
        return Ok(());
    }
    let path = context.home()?.cookie();
    Cookie::create(&path, &OsRng, existing(force)).map_err(|e| match e {
        CookieError::Exists { .. } => CliError::of("exists", &e),
        e => failed(e),
    })?;
    context.output().data(&json!({ "path": path }), |_| format!("wrote {}", path.display()));
    Ok(())
}

fn keys(context: &Context, force: bool, passphrase_fd: Option<u32>) -> Result<(), CliError> {
    let files = AdminFiles::below(context.home()?.root());
    // Before anybody has typed two passphrases in vain.
    if !force && files.public.exists() {
        let message = format!("there is an admin key at {} already", files.public.display());
        return Err(
            CliError::failed("exists", message).help("`--force` replaces it: what it has granted ends then")
        );
    }
    let passphrase = Passphrases::from(passphrase_fd)?.ask_new(ADMIN_KEY)?;
    let public = files.create(&passphrase, &OsRng, existing(force)).map_err(|e| of_key(&e))?;
    let written = json!({ "public": files.public, "private": files.private, "key": public.to_string() });
    context.output().data(&written, |_| {
        format!("wrote {} and {}\n{public}", files.public.display(), files.private.display())
    });
    Ok(())
}

fn view_keys(context: &Context) -> Result<(), CliError> {
    let none = || no_admin_key(context);
    let home = context.home_if_made()?.ok_or_else(none)?;
    let files = AdminFiles::below(home.root());
    if !files.public.exists() {
        return Err(none());
    }
    let admin = files.public().map_err(|e| of_key(&e))?;
    let console = console_key(&home)?.public();
    let shown = json!({ "admin": admin.to_string(), "console": console.to_string() });
    context.output().data(&shown, |_| format!("admin    {admin}\nconsole  {console}"));
    Ok(())
}

/// The error where a command needs the admin key and nobody has made one.
pub(crate) fn no_admin_key(context: &Context) -> CliError {
    CliError::failed("missing", "there is no admin key here yet")
        .help(format!("`{} admin keys` makes one", context.name()))
}

/// An error of the admin key's files, or of a grant holder's.
pub(crate) fn of_key(error: &AdminError) -> CliError {
    CliError::of(error.code(), error)
}

fn console_key_path(home: &Home) -> std::path::PathBuf {
    grant::directory(home).join("console.key")
}

/// Whether this user's commands can hold grants yet.
pub(crate) fn has_console_key(home: &Home) -> bool {
    console_key_path(home).exists()
}

/// The key by which this user's commands hold grants.
pub(crate) fn console_key(home: &Home) -> Result<GrantKey, CliError> {
    let path = console_key_path(home);
    GrantKey::load_or_create(&path, &OsRng).map_err(|e| of_key(&e))
}

async fn retract(context: &Context, server: &str, what: &str) -> Result<(), CliError> {
    let id = context.server_id(server)?;
    let is_id = what.parse::<GrantId>().is_ok();
    let meant =
        if is_id { Retract::Grant(what.to_owned()) } else { Retract::Grantee(context.server_id(what)?) };
    let console = context.console().await?;
    console.reach(&id).await?;
    let retracted = console.server.admin_retract(&id, meant.clone()).await?;
    context.output().data(&json!({ "server": id, "retracted": retracted }), |_| match retracted {
        0 => format!("retracted {meant} at {id}: none had counted there"),
        _ => format!("retracted {meant} at {id}: {retracted} counted there and do no longer"),
    });
    Ok(())
}

async fn grants_at(context: &Context, server: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let control = console.control(&context.server_id(server)?).await?;
    let entries = all_grants(&control, console.timeout).await?;
    context.output().data(&entries, |entries| {
        let line = |entry: &GrantEntry| {
            let grantee =
                entry.grantee.as_ref().map_or_else(|| "whoever has its key".to_owned(), ToString::to_string);
            let how = if entry.delegated { "presented for it" } else { "presented by itself" };
            format!("{}  {grantee}, {how}: {}", entry.id, entry.right)
        };
        lines_or(entries.iter().map(line), "no grant counts there")
    });
    Ok(())
}

fn grants_here(context: &Context) -> Result<(), CliError> {
    let kept = match context.home_if_made()? {
        Some(home) => grant::kept(&home)?,
        None => Vec::new(),
    };
    let shown: Vec<_> = kept
        .iter()
        .map(|Kept { file, chain, refused }| {
            let (id, right) = (chain.id().to_string(), chain.right(false));
            json!({ "id": id, "file": file, "right": right, "refused": refused })
        })
        .collect();
    context.output().data(&shown, |_| {
        let line = |kept: &Kept| {
            let refused = kept.refused.iter().map(|RefusedAt { server, at, why }| {
                format!("\n    refused at {server}, {}, and not presented there again: {why}", moment(*at))
            });
            format!("{}  {}{}", kept.chain.id(), kept.chain.right(false), refused.collect::<String>())
        };
        lines_or(kept.iter().map(line), "no grant is kept here")
    });
    Ok(())
}

fn lines_or(lines: impl Iterator<Item = String>, none: &str) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}

/// Keeps a grant in its file.
pub(crate) fn keep(home: &Home, chain: &GrantChain) -> Result<std::path::PathBuf, CliError> {
    let file = grant::directory(home).join(format!("{}.grant", chain.id()));
    let text = chain.to_text() + "\n";
    OsDisk.replace(&file, text.as_bytes()).map_err(|e| CliError::unwritable(&file, &e))?;
    Ok(file)
}
