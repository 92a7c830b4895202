//! `admin authorize` and `admin narrow`: making grants, and the files they are kept in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use odeon_actor::TokioClock;
use odeon_auth::{AdminFiles, CHAIN_BYTES_MAX, GRANT_TEXT_KIND, GrantChain, GrantKey, NewBlock, PublicKey};
use odeon_core::seam::{Clock as _, Disk as _};
use odeon_core::{Capability, Caveat, ServerId};
use odeon_server::{Home, OsDisk, OsRng};
use serde::Serialize;
use serde_json::json;

use crate::args::{Authorize, Limits, Narrow};
use crate::commands::admin::{ADMIN_KEY, console_key, keep, no_admin_key, of_key};
use crate::context::Context;
use crate::error::CliError;
use crate::passphrases::Passphrases;

/// Most grants of this home that are looked at: a link takes sixteen.
const KEPT_MAX: usize = 256;

/// A grant that is kept in this home.
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) chain: GrantChain,
    /// Where it was refused for good: it is not presented there again.
    pub(crate) refused: Vec<RefusedAt>,
}

impl Kept {
    /// Whether it may still count at a server.
    pub(crate) fn is_good_at(&self, server: &ServerId) -> bool {
        let now = TokioClock::new().unix_ms() / 1000;
        let is_over = self.chain.right(false).not_after().is_some_and(|end| end <= now);
        !is_over && !self.refused.iter().any(|refused| refused.server == *server)
    }
}

/// That a server has refused a grant. One line of the file beside the grant's: `SERVER MOMENT WHY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RefusedAt {
    pub(crate) server: ServerId,
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) why: String,
}

impl RefusedAt {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let (server, at, why) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { server: server.parse().ok()?, at: at.parse().ok()?, why: why.to_owned() })
    }
}

/// The file in which it is kept where a grant was refused.
fn refusals_of(grant: &Path) -> PathBuf {
    grant.with_extension("refused")
}

/// Notes that a server has refused a grant for good, so that it is not presented there for ever.
pub(crate) fn note_refused(kept: &Kept, server: &ServerId, why: &str) -> Result<(), CliError> {
    let why = why.lines().next().unwrap_or_default().to_owned();
    let new = RefusedAt { server: server.clone(), at: TokioClock::new().unix_ms() / 1000, why };
    let lines = kept.refused.iter().filter(|refused| refused.server != *server).chain([&new]);
    let text: String = lines.map(|RefusedAt { server, at, why }| format!("{server} {at} {why}\n")).collect();
    let file = refusals_of(&kept.file);
    OsDisk.replace(&file, text.as_bytes()).map_err(|e| CliError::unwritable(&file, &e))
}

/// Whom a grant is for.
struct Grantee {
    server: Option<ServerId>,
    key: Option<PublicKey>,
}

/// Where grants are kept.
pub(crate) fn directory(home: &Home) -> PathBuf {
    home.root().join("grants")
}

fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::of("grant", error)
}

pub(crate) async fn authorize(context: &Context, options: Authorize) -> Result<(), CliError> {
    let home = context.home()?;
    let server = context.server_id(&options.server)?;
    let grantee = grantee(context, &home, &options.grantee)?;
    let files = AdminFiles::below(home.root());
    // Before anybody has typed a passphrase in vain.
    if !files.private.exists() {
        return Err(no_admin_key(context));
    }
    let passphrase = Passphrases::from(options.passphrase_fd)?.ask_known(ADMIN_KEY)?;
    let admin = files.private(&passphrase).map_err(|e| of_key(&e))?;
    let now_ms = TokioClock::new().unix_ms();
    let mut caveats = vec![
        Caveat::Servers([server.clone()].into()),
        Caveat::Capabilities(options.capabilities.into_iter().collect()),
    ];
    caveats.push(until(now_ms, options.expires));
    caveats.extend(limits(options.limits));
    let is_for_server = grantee.server.is_some();
    let block = NewBlock { now_ms, grantee: grantee.server, holder: grantee.key, caveats };
    let chain = GrantChain::issue(&admin, &OsRng, block).map_err(|e| failed(&e))?;
    let file = keep(&home, &chain)?;
    let is_presented = is_for_server && !options.offline;
    if is_presented {
        let console = context.console().await?;
        console.reach(&server).await?;
        console.server.admin_authorize(&server, &chain, &admin).await?;
    }
    let next = if is_presented {
        format!("it counts at {server} from now on")
    } else {
        "whoever it is for has to present it".to_owned()
    };
    show(context, &chain, &file, is_presented, &next);
    Ok(())
}

pub(crate) fn narrow(context: &Context, options: Narrow) -> Result<(), CliError> {
    let home = context.home()?;
    let admin = AdminFiles::below(home.root()).public().map_err(|e| of_key(&e))?;
    let given = GrantChain::from_text(&text_of(&home, &options.grant)?, &admin).map_err(|e| failed(&e))?;
    let key = holders_key(&home, &given)?;
    let next = match &options.to {
        Some(to) => grantee(context, &home, to)?,
        None => Grantee { server: given.last().grantee.clone(), key: given.last().holder },
    };
    let now_ms = TokioClock::new().unix_ms();
    let mut caveats: Vec<Caveat> =
        options.expires.map(|expires| until(now_ms, expires)).into_iter().collect();
    if !options.capabilities.is_empty() {
        let only: std::collections::BTreeSet<Capability> = options.capabilities.into_iter().collect();
        caveats.push(Caveat::Capabilities(only.into_iter().collect()));
    }
    caveats.extend(limits(options.limits));
    let block = NewBlock { now_ms, grantee: next.server, holder: next.key, caveats };
    let chain = given.narrow(&key, &OsRng, block).map_err(|e| failed(&e))?;
    let file = keep(&home, &chain)?;
    show(context, &chain, &file, false, "whoever it is for has to present it");
    Ok(())
}

fn show(context: &Context, chain: &GrantChain, file: &Path, is_presented: bool, next: &str) {
    let shown = json!({
        "id": chain.id().to_string(),
        "right": chain.right(false),
        "file": file,
        "presented": is_presented,
        "grant": chain.to_text(),
    });
    context.output().data(&shown, |_| {
        format!("grant {}: {}\n{next}\nwrote {}", chain.id(), chain.right(false), file.display())
    });
}

fn until(now_ms: u64, expires: Duration) -> Caveat {
    Caveat::NotAfter((now_ms / 1000).saturating_add(expires.as_secs()))
}

fn limits(limits: Limits) -> Vec<Caveat> {
    let Limits { actor, role, path, mark } = limits;
    let all = [
        Caveat::Actors(actor.into_iter().collect()),
        Caveat::Roles(role.into_iter().collect()),
        Caveat::Paths(path.into_iter().collect()),
        Caveat::Marks(mark.into_iter().collect()),
    ];
    all.into_iter().filter(|caveat| caveat.items() > 0).collect()
}

/// A server, with its key if it has run in this home; or a key alone.
fn grantee(context: &Context, home: &Home, text: &str) -> Result<Grantee, CliError> {
    if let Some(key) = text.strip_prefix("key:") {
        let key = key.parse().map_err(|e| CliError::usage(format!("`{text}`: {e}")))?;
        return Ok(Grantee { server: None, key: Some(key) });
    }
    let server = context.server_id(text)?;
    let key = match home.has_run(&server) {
        true => Some(server_key(&home.server(&server))?.public()),
        false => None,
    };
    Ok(Grantee { server: Some(server), key })
}

fn server_key(directory: &Path) -> Result<GrantKey, CliError> {
    GrantKey::load_or_create(&directory.join("grant.key"), &OsRng).map_err(|e| of_key(&e))
}

/// The key of a grant's holder, if it is one of this home's.
fn holders_key(home: &Home, chain: &GrantChain) -> Result<GrantKey, CliError> {
    let Some(holder) = chain.last().holder else {
        return Err(CliError::failed("grant", "the grant names no holder's key, so nobody can pass it on"));
    };
    let console = console_key(home)?;
    if console.public() == holder {
        return Ok(console);
    }
    let grantee = chain.last().grantee.as_ref().filter(|grantee| home.has_run(grantee));
    if let Some(grantee) = grantee {
        let key = server_key(&home.server(grantee))?;
        if key.public() == holder {
            return Ok(key);
        }
    }
    let message = format!("the grant is held by the key {holder}, which is not in this home");
    Err(CliError::failed("grant", message).help("narrow it where its holder is"))
}

/// The text that is meant: of a grant kept here, of a file, or itself.
fn text_of(home: &Home, meant: &str) -> Result<String, CliError> {
    if meant.starts_with(GRANT_TEXT_KIND) {
        return Ok(meant.to_owned());
    }
    let kept = directory(home).join(format!("{meant}.grant"));
    let file = if kept.is_file() { kept } else { PathBuf::from(meant) };
    read(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("there is no grant `{meant}` in this home, and no such file");
            CliError::failed("not-found", message).help("see `admin grants`")
        }
        _ => CliError::unreadable(&file, &e),
    })
}

/// The beginning of a file: more than any grant has.
fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(4 * CHAIN_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// The grants of this home that the admin key of today has signed, by file.
pub(crate) fn kept(home: &Home) -> Result<Vec<Kept>, CliError> {
    let files = AdminFiles::below(home.root());
    if !files.public.exists() {
        return Ok(Vec::new());
    }
    let admin = files.public().map_err(|e| of_key(&e))?;
    let Ok(entries) = std::fs::read_dir(directory(home)) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "grant"));
    paths.sort();
    paths.truncate(KEPT_MAX);
    let kept = paths.into_iter().filter_map(|file| {
        let chain = GrantChain::from_text(&read(&file).ok()?, &admin).ok()?;
        let refused = read(&refusals_of(&file)).unwrap_or_default();
        let refused = refused.lines().filter_map(RefusedAt::read).collect();
        Some(Kept { file, chain, refused })
    });
    Ok(kept.collect())
}
