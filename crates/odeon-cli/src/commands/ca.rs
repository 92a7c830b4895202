//! `ca`: the ensemble's authorities and what they issue.

use std::path::PathBuf;

use odeon_auth::ca::{
    CaError, CaFiles, CaOptions, CertificateAuthority, Issued, Issuer, ROOT_DAYS, RenewedKey, SUB_DAYS,
    ServerFiles, ServerOrder, Subject, Target,
};
use odeon_auth::{Existing, PeerCertificate};
use odeon_core::seam::Clock as _;
use odeon_core::{Capabilities, Domain, ServerId, moment};
use odeon_server::{CONSOLE, Home, OsRng};
use serde::Serialize;
use serde_json::json;

use super::{certificates, publish};
use crate::args::{Ca, Cert, PassphraseFd, Renew, Setup, SubjectArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::passphrases::Passphrases;

const ROOT: &str = "the root CA";
const SUB: &str = "the subordinate CA";

pub(crate) async fn ca(context: &Context, ca: Ca) -> Result<(), CliError> {
    match ca {
        Ca::Setup(options) => setup(context, &options),
        Ca::Cert(options) => cert(context, options),
        Ca::Renew(options) => renew(context, &options),
        Ca::Revoke { target, publish, passphrase } => revoke(context, &target, publish, passphrase).await,
        Ca::Publish => publish::publish(context).await,
        Ca::View { target } => certificates::view(context, target.as_deref()),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    odeon_actor::TokioClock::new().unix_ms() / 1_000
}

/// An error of the authorities, with what to try.
pub(crate) fn failed(error: &CaError) -> CliError {
    CliError::of(error.code(), error)
}

/// A certificate as scripts see it.
#[derive(Debug, Serialize)]
struct Made {
    server: ServerId,
    capabilities: Vec<String>,
    serial: String,
    not_after: String,
    chain: String,
}

impl Made {
    fn new(peer: PeerCertificate, place: &ServerFiles) -> Self {
        Self {
            capabilities: peer.capabilities.iter().map(ToString::to_string).collect(),
            server: peer.server,
            serial: peer.serial,
            not_after: moment(peer.not_after),
            chain: place.chain().display().to_string(),
        }
    }

    fn show(&self) -> String {
        let Self { server, serial, not_after, .. } = self;
        let may =
            if self.capabilities.is_empty() { "nothing".to_owned() } else { self.capabilities.join(" ") };
        format!("{server} may {may}, until {not_after} (serial number {serial})")
    }
}

fn setup(context: &Context, options: &Setup) -> Result<(), CliError> {
    let home = context.home()?;
    let authority = authority(&home);
    let files = authority.files();
    // Before anybody has typed two passphrases in vain.
    for path in [files.root_crt(), files.root_key(), files.sub_crt(), files.sub_key()] {
        if path.symlink_metadata().is_ok() {
            return Err(failed(&CaError::Exists { path: files.base().into() }));
        }
    }
    let subject = subject(&options.subject, Subject::default());
    let name = options.name.clone().unwrap_or_else(|| subject.organization.clone());
    let root_days = options.days.unwrap_or(ROOT_DAYS);
    let authority_options = |what: &str, days| CaOptions {
        subject: subject.clone(),
        common_name: Some(format!("{name} {what}")),
        kind: options.key,
        days: Some(days),
    };
    let mut passphrases = Passphrases::from(options.passphrase.fd)?;
    let root = passphrases.ask_new(ROOT)?;
    let sub = passphrases.ask_new(SUB)?;
    authority.generate_root(&root, &authority_options("Root CA", root_days)).map_err(|e| failed(&e))?;
    wrote(context, &[files.root_key(), files.root_crt()]);
    let sub_days = SUB_DAYS.min(root_days.div_ceil(2));
    let sub_options = authority_options("Subordinate CA", sub_days);
    authority.generate_sub(&root, &sub, &sub_options).map_err(|e| failed(&e))?;
    wrote(context, &[files.sub_key(), files.sub_crt()]);
    authority.generate_ca_files(Existing::Replace).map_err(|e| failed(&e))?;
    wrote(context, &[files.ca_pem(), files.root_pem()]);
    let mut issuer = authority.unlock(&sub).map_err(|e| failed(&e))?;
    issuer.write_list().map_err(|e| failed(&e))?;
    wrote(context, &[files.crl()]);
    let console = ServerId::new(CONSOLE, Domain::root()).expect("the console has an id");
    let order =
        ServerOrder { subject, kind: options.key, ..ServerOrder::new(console, Capabilities::admin()) };
    let made = issue(context, &mut issuer, &home, &order, Existing::Replace)?;
    let document = json!({ "root": files.root_pem(), "authorities": files.ca_pem(), "console": made });
    context.output().data(&document, |_| made.show());
    Ok(())
}

fn cert(context: &Context, options: Cert) -> Result<(), CliError> {
    let server = context.server_id(&options.server)?;
    let home = with_authority(context)?;
    let mut issuer = unlock(&home, options.passphrase)?;
    let order = ServerOrder {
        server,
        capabilities: options.capabilities.into_iter().collect(),
        subject: subject(&options.subject, issuer.subject()),
        kind: options.key,
        days: options.days,
    };
    let existing = if options.force { Existing::Replace } else { Existing::Keep };
    let made = issue(context, &mut issuer, &home, &order, existing)?;
    context.output().data(&made, Made::show);
    Ok(())
}

fn issue(
    context: &Context,
    issuer: &mut Issuer<'_>,
    home: &Home,
    order: &ServerOrder,
    existing: Existing,
) -> Result<Made, CliError> {
    let place = ServerFiles::below(&home.server(&order.server));
    let issued = issuer.issue(order, &place, existing).map_err(|e| failed(&e))?;
    wrote(context, &[place.key(), place.chain()]);
    Ok(Made::new(issued, &place))
}

/// Tells what was written, once it is.
fn wrote(context: &Context, paths: &[PathBuf]) {
    for path in paths {
        context.output().progress(&format!("wrote {}", path.display()));
    }
}

fn renew(context: &Context, options: &Renew) -> Result<(), CliError> {
    let named =
        options.servers.iter().map(|server| context.server_id(server)).collect::<Result<Vec<_>, _>>()?;
    let home = with_authority(context)?;
    let mut issuer = unlock(&home, options.passphrase)?;
    let servers = if options.all { in_force(issuer.issued()) } else { named };
    let key = options.new_key.map_or(RenewedKey::Same, RenewedKey::New);
    let (mut made, mut first_error) = (Vec::new(), None);
    for server in servers {
        let place = ServerFiles::below(&home.server(&server));
        if options.all && !place.chain().exists() {
            context.output().progress(&format!("… {server} has its files elsewhere: renew it there"));
            continue;
        }
        match issuer.renew(&server, &place, key, options.days) {
            Ok(peer) => {
                if let RenewedKey::New(_) = key {
                    wrote(context, &[place.key()]);
                }
                wrote(context, &[place.chain()]);
                made.push(Made::new(peer, &place));
            }
            Err(error) => {
                // The others are renewed all the same.
                context.output().progress(&format!("… {server}: {error}"));
                first_error.get_or_insert_with(|| failed(&error));
            }
        }
    }
    context.output().data(&made, |made| made.iter().map(Made::show).collect::<Vec<_>>().join("\n"));
    first_error.map_or(Ok(()), Err)
}

/// The servers with a certificate in force, each once.
fn in_force(issued: &[Issued]) -> Vec<ServerId> {
    let now = now();
    let valid = issued.iter().filter(|issued| issued.is_in_force(now)).map(|issued| issued.server.clone());
    valid.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

async fn revoke(
    context: &Context,
    target: &str,
    is_published: bool,
    passphrase: PassphraseFd,
) -> Result<(), CliError> {
    let target = match Target::serial(target) {
        Some(serial) => serial,
        None => Target::Server(context.server_id(target)?),
    };
    let home = with_authority(context)?;
    let mut issuer = unlock(&home, passphrase)?;
    let revoked = issuer.revoke(&target).map_err(|e| failed(&e))?;
    drop(issuer);
    let list = CaFiles::below(home.root()).crl();
    wrote(context, std::slice::from_ref(&list));
    let rows: Vec<_> = revoked.iter().map(|i| json!({ "server": i.server, "serial": i.serial })).collect();
    let brought = if is_published { Some(publish::bring(context, &home).await) } else { None };
    let published = brought.as_ref().and_then(|brought| brought.as_ref().ok());
    let mut document = json!({ "revoked": rows, "list": list });
    if let (Some(brought), Some(document)) = (published, document.as_object_mut()) {
        document.insert("published".to_owned(), json!(brought));
    }
    context.output().data(&document, |_| {
        let line = |i: &Issued| format!("{} is revoked (serial number {})", i.server, i.serial);
        let lines = revoked.iter().map(line).chain(published.map(|brought| publish::show(brought)));
        lines.collect::<Vec<_>>().join("\n")
    });
    match brought {
        Some(brought) => publish::all_have_it(context, &brought?),
        None => Ok(()),
    }
}

fn authority(home: &Home) -> CertificateAuthority<'static> {
    CertificateAuthority::new(CaFiles::below(home.root()), &OsRng, now())
}

/// The home, which must have a subordinate: where there is none, nothing is made either.
fn with_authority(context: &Context) -> Result<Home, CliError> {
    let none = |place: String| {
        CliError::failed("missing", format!("there is no authority in {place}"))
            .help("`ca setup` makes it; servers are certified where it is")
    };
    let Some(home) = context.home_if_made()? else {
        return Err(none(context.home_path_here()?.display().to_string()));
    };
    let files = CaFiles::below(home.root());
    if files.sub_key().exists() { Ok(home) } else { Err(none(files.base().display().to_string())) }
}

fn unlock(home: &Home, passphrase: PassphraseFd) -> Result<Issuer<'static>, CliError> {
    let authority = authority(home);
    let sub = Passphrases::from(passphrase.fd)?.ask_known(SUB)?;
    authority.unlock(&sub).map_err(|e| failed(&e))
}

fn subject(said: &SubjectArgs, usual: Subject) -> Subject {
    Subject {
        country: said.country.clone().unwrap_or(usual.country),
        organization: said.organization.clone().unwrap_or(usual.organization),
        location: said.location.clone().unwrap_or(usual.location),
    }
}
