//! `admin cookie`: the ensemble's secret.

use odeon_auth::{Cookie, Existing};
use odeon_server::OsRng;
use serde_json::json;

use crate::args::Admin;
use crate::context::Context;
use crate::error::CliError;

pub(crate) fn admin(context: &Context, admin: &Admin) -> Result<(), CliError> {
    let Admin::Cookie { force, view } = admin;
    let failed = |e| CliError::of("cookie", &e);
    if *view {
        let help = format!("`{0} up` or `{0} admin cookie` makes one", context.name());
        let none = || CliError::failed("cookie", "there is no cookie here yet").help(help);
        let cookie = Cookie::load(&context.home_if_made()?.ok_or_else(none)?.cookie()).map_err(failed)?;
        context.output().data(&json!({ "cookie": *cookie.to_hex() }), |_| cookie.to_hex().to_string());
        return Ok(());
    }
    let path = context.home()?.cookie();
    let existing = if *force { Existing::Replace } else { Existing::Keep };
    Cookie::create(&path, &OsRng, existing).map_err(failed)?;
    context.output().data(&json!({ "path": path }), |_| format!("wrote {}", path.display()));
    Ok(())
}
