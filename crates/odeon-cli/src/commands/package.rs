//! `package` and `unpack`: what a new host needs, and nothing else, as one archive.
//!
//! The archive holds the host's `odeon.toml`, what its servers trust, and their own certificates and keys. What
//! would let its holder be somebody else stays behind: the authorities' keys, the administrator's key, the cookie.

mod archive;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use odeon_auth::ca::{CaFiles, ServerFiles};
use odeon_core::ServerId;
use odeon_core::seam::Disk as _;
use odeon_ensemble::config::{Ensemble, TlsUse};
use odeon_ensemble::supervisor::supervisor_id;
use odeon_server::{CONSOLE, Home, OsDisk};
use serde_json::json;

use self::archive::{Content, Member};
use crate::args::{Package, Unpack};
use crate::commands::config::{load, no_file};
use crate::context::{Context, FILE};
use crate::error::CliError;

/// The file that a package is written to if nothing else is said.
const PACKAGE: &str = "package.tar";

pub(crate) fn package(context: &Context, package: &Package) -> Result<(), CliError> {
    let home = context.home()?;
    let ids =
        package.servers.iter().map(|text| context.server_id(text)).collect::<Result<BTreeSet<_>, _>>()?;
    let file = match &package.config {
        Some(file) => file.clone(),
        None => Context::project().map(|project| project.join(FILE)).ok_or_else(no_file)?,
    };
    let ensemble = load(context, &file)?;
    let servers = of_host(&home, &ensemble, &file, ids)?;
    let output = absolute(package.output.as_deref().unwrap_or_else(|| Path::new(PACKAGE)))?;
    if output.exists() && !package.force {
        let message = format!("{} is there already", output.display());
        return Err(CliError::failed("exists", message).help("say --force to replace it"));
    }
    let members = members(&home, &file, &servers)?;
    let bytes = archive::write(&members)?;
    OsDisk.replace(&output, &bytes).map_err(|e| CliError::unwritable(&output, &e))?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    context.output().data(&json!({ "package": output, "members": names }), |_| names.join("\n"));
    context.output().progress(&format!(
        "{} holds private keys: hand it to that host only, and remove it then. The cookie is not in it: between \
         hosts servers prove themselves by their certificates",
        output.display()
    ));
    Ok(())
}

/// The servers whose certificates go to the host. A supervisor takes along those that it will start, and the
/// console of its domain.
fn of_host(
    home: &Home,
    ensemble: &Ensemble,
    file: &Path,
    ids: BTreeSet<ServerId>,
) -> Result<BTreeSet<ServerId>, CliError> {
    if let Some(stranger) = ids.iter().find(|id| *id.domain() != ensemble.domain) {
        let message =
            format!("{} describes domain {}, and {stranger} is of another", file.display(), ensemble.domain);
        return Err(CliError::usage(message).help("name the file of that host with --config"));
    }
    let supervisor = supervisor_id(&ensemble.domain);
    let mut servers = ids.clone();
    if ids.contains(&supervisor) {
        servers.extend(ensemble.servers().into_iter().map(|server| server.id));
        if !ensemble.registry.elsewhere {
            servers.insert(ensemble.registry.id.clone());
        }
    }
    let certificate = |id: &ServerId| ServerFiles::below(&home.server(id)).chain();
    // Without certificates its servers would reach nobody elsewhere.
    let all_need_one = ensemble.registry.elsewhere || ensemble.tls == TlsUse::Always;
    for id in servers.iter().filter(|id| all_need_one || ids.contains(*id)) {
        if !certificate(id).exists() {
            let message = format!("{id} has no certificate at {}", certificate(id).display());
            return Err(CliError::failed("no-certificate", message).help(format!("issue it: `ca cert {id}`")));
        }
    }
    servers.retain(|id| certificate(id).exists());
    if ids.contains(&supervisor)
        && let Ok(console) = ServerId::new(CONSOLE, ensemble.domain.clone())
        && certificate(&console).exists()
    {
        servers.insert(console);
    }
    Ok(servers)
}

/// Reads everything that goes into the archive.
fn members(home: &Home, file: &Path, servers: &BTreeSet<ServerId>) -> Result<Vec<Member>, CliError> {
    let authorities = CaFiles::below(home.root());
    let mut paths = vec![home.root().join(archive::ADMIN_KEY)];
    paths.retain(|path| path.exists());
    paths.extend([authorities.root_pem(), authorities.ca_pem(), authorities.crl()]);
    for id in servers {
        let own = ServerFiles::below(&home.server(id));
        paths.extend([own.chain(), own.key()]);
    }
    let mut members = vec![Member { name: FILE.to_owned(), content: read(file)? }];
    for path in paths {
        let below = path.strip_prefix(home.root()).unwrap_or(&path);
        let name = format!("{}{}", archive::HOME, below.display());
        members.push(Member { name, content: read(&path)? });
    }
    archive::check(&members)?;
    Ok(members)
}

fn read(path: &Path) -> Result<Content, CliError> {
    OsDisk.read(path).map(Content::new).map_err(|e| {
        CliError::unreadable(path, &e).help("certificates are made with `ca setup` and `ca cert`")
    })
}

/// What a package holds, by name: its keys stay unseen.
pub(crate) fn show(context: &Context, file: &Path) -> Result<(), CliError> {
    let members = archive::read(file)?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    context.output().data(&json!({ "members": names }), |_| {
        format!("a package, which `unpack` takes, of\n{}", names.join("\n"))
    });
    Ok(())
}

pub(crate) fn unpack(context: &Context, unpack: &Unpack) -> Result<(), CliError> {
    let directory = absolute(unpack.directory.as_deref().unwrap_or_else(|| Path::new(".")))?;
    // All of it is looked at before anything is written.
    let members = archive::read(&unpack.file)?;
    let home = context.home_of(Some(&directory))?;
    let place = |member: &Member| match member.name.strip_prefix(archive::HOME) {
        Some(below) => home.root().join(below),
        None => directory.join(&member.name),
    };
    let places: Vec<PathBuf> = members.iter().map(place).collect();
    if !unpack.force
        && let Some(there) = places.iter().find(|path| path.symlink_metadata().is_ok())
    {
        let message = format!("{} is there already; nothing was written", there.display());
        return Err(CliError::failed("exists", message).help("say --force to replace what is there"));
    }
    for (member, path) in members.iter().zip(&places) {
        OsDisk.replace(path, member.content.bytes()).map_err(|e| CliError::unwritable(path, &e))?;
    }
    context.output().data(&json!({ "home": home.root(), "files": places }), |_| {
        places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|e| CliError::of("directory", &e))
}
