//! Certificates as people see them: `ca view`, and the warnings before one ends.

use std::path::Path;

use odeon_auth::ca::{
    CaFiles, CertificateView, FILE_KIND_BYTES, FileKind, Issued, RevocationView, ServerFiles,
};
use odeon_auth::{AdminFiles, ExpiryWarning, GrantChain, expiry_warning};
use odeon_core::{Capabilities, ServerId, moment};
use odeon_server::Home;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::admin::of_key;
use super::ca::{failed, now};
use super::package;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{table, terminal_width};

pub(crate) fn view(context: &Context, target: Option<&str>) -> Result<(), CliError> {
    match target {
        None => issued(context),
        Some(file) if Path::new(file).is_file() => show_file(context, Path::new(file)),
        // A path is no name, and whoever writes one means a file.
        Some(file) if file.contains('.') && !file.contains('@') => {
            Err(CliError::failed("missing", format!("there is no file {file}"))
                .help("name a file of certificates, or a server"))
        }
        Some(server) => {
            let server = context.server_id(server)?;
            show(context, &ServerFiles::below(&context.home()?.server(&server)).chain())
        }
    }
}

/// What is in force.
fn issued(context: &Context) -> Result<(), CliError> {
    let now = now();
    let issued = match context.home_if_made()? {
        Some(home) => CaFiles::below(home.root()).issued().map_err(|e| failed(&e))?,
        None => Vec::new(),
    };
    let in_force: Vec<&Issued> = issued.iter().filter(|issued| issued.is_in_force(now)).collect();
    let document: Vec<Value> = in_force
        .iter()
        .map(|i| {
            let capabilities: Vec<_> = i.capabilities.iter().collect();
            json!({
                "server": i.server, "capabilities": capabilities, "serial": i.serial,
                "issued": moment(i.issued), "not_after": moment(i.not_after),
            })
        })
        .collect();
    context.output().data(&document, |_| issued_table(&in_force, now, terminal_width()));
    Ok(())
}

pub(crate) fn issued_table(issued: &[&Issued], now: u64, width: usize) -> String {
    let row = |issued: &&Issued| {
        let ends = expiry_warning(issued.not_after, now)
            .map_or_else(|| moment(issued.not_after), |warning| warning.to_string());
        [issued.server.to_string(), may(&issued.capabilities, "-"), ends, issued.serial.clone()]
    };
    let heading = ["SERVER", "MAY", "ENDS", "SERIAL"];
    table(heading, issued.iter().map(row).collect(), "nothing is in force", width)
}

fn may(capabilities: &Capabilities, nothing: &str) -> String {
    let all: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    if all.is_empty() { nothing.to_owned() } else { all.join(" ") }
}

/// A file, as what it is.
fn show_file(context: &Context, path: &Path) -> Result<(), CliError> {
    let begin = begin_of(path).map_err(|e| CliError::unreadable(path, &e))?;
    match FileKind::of(&begin) {
        FileKind::RevocationList => show_lists(context, path),
        FileKind::Archive => package::show(context, path),
        FileKind::Grant => show_grant(context, path, &begin),
        // What it is otherwise, the error says.
        _ => show(context, path),
    }
}

fn begin_of(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use std::io::Read as _;
    let mut begin = Zeroizing::new(Vec::with_capacity(FILE_KIND_BYTES));
    std::fs::File::open(path)?.take(FILE_KIND_BYTES as u64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Every revocation list of a file.
fn show_lists(context: &Context, path: &Path) -> Result<(), CliError> {
    let views = RevocationView::load(path).map_err(|e| failed(&e))?;
    let to_json = |view: &RevocationView| {
        let revoked: Vec<Value> =
            view.revoked.iter().map(|(serial, at)| json!({ "serial": serial, "at": moment(*at) })).collect();
        json!({
            "issuer": view.issuer, "number": view.number, "this_update": moment(view.this_update),
            "next_update": view.next_update.map(moment), "revoked": revoked,
        })
    };
    let document: Vec<Value> = views.iter().map(to_json).collect();
    context.output().data(&document, |_| views.iter().map(show_list).collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

fn show_list(view: &RevocationView) -> String {
    let mut rows = vec![
        ("list of", view.issuer.clone()),
        ("number", view.number.clone().unwrap_or_else(|| "none".to_owned())),
        ("from", moment(view.this_update)),
        ("next", view.next_update.map_or_else(|| "not said".to_owned(), moment)),
    ];
    rows.extend(view.revoked.iter().map(|(serial, at)| ("revoked", format!("{serial} at {}", moment(*at)))));
    if view.revoked.is_empty() {
        rows.push(("revoked", "nothing".to_owned()));
    }
    rows.iter().map(|(name, value)| format!("{name:<14}{value}")).collect::<Vec<_>>().join("\n")
}

/// A grant, which only the admin key of its ensemble can tell from a forged one.
fn show_grant(context: &Context, path: &Path, text: &[u8]) -> Result<(), CliError> {
    let admin = context.home_if_made()?.map(|home| AdminFiles::below(home.root()));
    let Some(files) = admin.filter(|files| files.public.exists()) else {
        let message = format!("{} is a grant, and there is no admin key here to read it by", path.display());
        return Err(
            CliError::failed("missing", message).help("look at it in a home with the ensemble's `admin.pub`")
        );
    };
    let key = files.public().map_err(|e| of_key(&e))?;
    let text = String::from_utf8_lossy(text);
    let chain = GrantChain::from_text(text.trim(), &key).map_err(|e| CliError::of("grant", &e))?;
    let right = chain.right(false);
    let grantee = chain.last().grantee.clone();
    let document = json!({ "grant": chain.id().to_string(), "grantee": grantee, "right": right });
    context.output().data(&document, |_| {
        let grantee = grantee.as_ref().map_or_else(|| "whoever has its key".to_owned(), ToString::to_string);
        format!("{:<14}{}\n{:<14}{grantee}\n{:<14}{right}", "grant", chain.id(), "for", "may")
    });
    Ok(())
}

/// Every certificate of a file.
fn show(context: &Context, path: &Path) -> Result<(), CliError> {
    let views = CertificateView::load(path).map_err(|e| failed(&e))?;
    let document: Vec<Value> = views.iter().map(to_json).collect();
    context
        .output()
        .data(&document, |_| views.iter().map(|view| show_one(view, now())).collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

fn to_json(view: &CertificateView) -> Value {
    let CertificateView { subject, issuer, serial, not_before, not_after, fingerprint, is_authority, peer } =
        view;
    let mut document = json!({
        "subject": subject, "issuer": issuer, "serial": serial, "fingerprint": fingerprint,
        "not_before": moment(*not_before), "not_after": moment(*not_after), "authority": is_authority,
    });
    if let (Ok(peer), Some(document)) = (peer, document.as_object_mut()) {
        document.insert("server".to_owned(), json!(peer.server));
        document.insert("capabilities".to_owned(), json!(peer.capabilities.iter().collect::<Vec<_>>()));
    }
    document
}

fn show_one(view: &CertificateView, now: u64) -> String {
    let mut rows = match &view.peer {
        _ if view.is_authority => vec![("authority", view.subject.clone())],
        Ok(peer) => {
            vec![("server", peer.server.to_string()), ("may", may(&peer.capabilities, "nothing"))]
        }
        Err(error) => vec![("subject", view.subject.clone()), ("no server", error.to_string())],
    };
    rows.extend([
        ("issuer", view.issuer.clone()),
        ("serial", view.serial.clone()),
        ("from", moment(view.not_before)),
        ("until", moment(view.not_after)),
        ("SHA-256", view.fingerprint.clone()),
    ]);
    if let Some(warning) = expiry_warning(view.not_after, now) {
        rows.push(("warning", warning.to_string()));
    }
    rows.iter().map(|(name, value)| format!("{name:<14}{value}")).collect::<Vec<_>>().join("\n")
}

/// When a server's certificate ends, if it has one in this home.
pub(crate) fn end(home: &Home, server: &ServerId) -> Option<u64> {
    let path = ServerFiles::below(&home.server(server)).chain();
    Some(CertificateView::load(&path).ok()?.first()?.not_after)
}

/// The warning that is due for a server's certificate.
pub(crate) fn warning(home: &Home, server: &ServerId) -> Option<ExpiryWarning> {
    expiry_warning(end(home, server)?, now())
}

/// Tells of every certificate that ends soon, on standard error.
pub(crate) fn warn<'a>(context: &Context, home: &Home, servers: impl IntoIterator<Item = &'a ServerId>) {
    for server in servers {
        if let Some(warning) = warning(home, server) {
            let name = context.name();
            context.output().progress(&format!(
                "warning: the certificate of {server} {warning}: run `{name} ca renew {server}`"
            ));
        }
    }
}
