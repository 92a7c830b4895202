//! The archive: a tar with few, small, well-known members. What else a tar can hold is refused, by whomever it was
//! made.
//!
//! | member | is |
//! | --- | --- |
//! | `odeon.toml` | the host's file |
//! | `home/admin.pub` | the administrator's public key, if the ensemble has one |
//! | `home/ca/root.pem`, `home/ca/ca.pem`, `home/ca/sub/crl.pem` | what servers trust, and whom no longer |
//! | `home/servers/DOMAIN/@NAME/tls/chain.pem`, `…/server.key` | a server's certificate and key |

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use odeon_core::limits::DOMAIN_BYTES_MAX;
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::context::FILE;
use crate::error::CliError;

/// What lies in the ensemble's directory stands below this.
pub(super) const HOME: &str = "home/";

/// The administrator's public key, in the home.
pub(super) const ADMIN_KEY: &str = "admin.pub";

/// Members that stand where they stand, whoever the package is for.
const FIXED: [&str; 5] =
    [FILE, "home/admin.pub", "home/ca/root.pem", "home/ca/ca.pem", "home/ca/sub/crl.pem"];

/// What a server's directory gives.
const OF_SERVER: [&str; 2] = ["tls/chain.pem", "tls/server.key"];

/// Most members: those of a thousand servers, which is a large host.
pub(super) const MEMBERS_MAX: usize = 2 * 1024 + FIXED.len();

/// Largest member, in bytes: the longest revocation list that servers read.
pub(super) const MEMBER_BYTES_MAX: u64 = odeon_auth::tls::CRL_FILE_BYTES_MAX as u64;

/// Largest archive, in bytes.
pub(super) const ARCHIVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Longest name of a member: a domain, a server's name, and the words around them.
const NAME_BYTES_MAX: usize = DOMAIN_BYTES_MAX + 128;

/// The mode bits that let group or others at a file.
const MODE_NOT_OWNER: u32 = 0o077;

/// Bytes that may be a key's.
pub(super) struct Content(Zeroizing<Vec<u8>>);

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One file of an archive.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) content: Content,
}

fn refused(why: impl Into<String>) -> CliError {
    CliError::failed("bad-package", why)
        .help("have the package made anew with `package`, and copy it unchanged")
}

/// What an archive may hold is what is read of one.
pub(super) fn check(members: &[Member]) -> Result<(), CliError> {
    let mut names = BTreeSet::new();
    let mut total = 0;
    for member in members {
        check_name(&member.name)?;
        let bytes = member.content.bytes().len() as u64;
        check_size(&member.name, bytes)?;
        total += bytes;
        if !names.insert(&member.name) {
            return Err(refused(format!("`{}` is in it twice", member.name)));
        }
    }
    check_count(members.len())?;
    if total > ARCHIVE_BYTES_MAX {
        return Err(refused(format!(
            "its files take {total} bytes, where {ARCHIVE_BYTES_MAX} are the limit"
        )));
    }
    Ok(())
}

fn check_count(count: usize) -> Result<(), CliError> {
    if count > MEMBERS_MAX {
        return Err(refused(format!("it has more than {MEMBERS_MAX} members")));
    }
    Ok(())
}

fn check_size(name: &str, bytes: u64) -> Result<(), CliError> {
    if bytes > MEMBER_BYTES_MAX {
        let why = format!("`{name}` has {bytes} bytes, where {MEMBER_BYTES_MAX} are the limit");
        return Err(refused(why));
    }
    Ok(())
}

/// A name leads to one of the known places and nowhere else.
fn check_name(name: &str) -> Result<(), CliError> {
    let shown: String = name.chars().take(120).flat_map(char::escape_default).collect();
    let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_inside || name.contains("//") {
        return Err(refused(format!("`{shown}` leads out of the directory")));
    }
    let is_server = || {
        let rest = name.strip_prefix("home/servers/")?;
        let (place, file) = rest.rsplit_once("/tls/")?;
        let (domain, server) = place.rsplit_once('/').unwrap_or(("", place));
        let id = format!("{}@/{domain}", server.strip_prefix('@')?);
        let is_named = id.parse::<odeon_core::ServerId>().is_ok();
        Some(is_named && OF_SERVER.contains(&format!("tls/{file}").as_str()))
    };
    if FIXED.contains(&name) || name.len() <= NAME_BYTES_MAX && is_server() == Some(true) {
        return Ok(());
    }
    Err(refused(format!("`{shown}` is nothing that a package holds")))
}

/// The archive's bytes.
pub(super) fn write(members: &[Member]) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |e: std::io::Error| CliError::of("package", &e);
    // Never grown, which would leave copies of keys behind: a member takes its head, its name and whole blocks.
    let room = members.iter().map(|member| member.content.bytes().len() + 4 * 1024).sum::<usize>() + 4 * 1024;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let mut builder = Builder::new(&mut *bytes);
    for member in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(member.content.bytes().len() as u64);
        builder.append_data(&mut header, &member.name, member.content.bytes()).map_err(failed)?;
    }
    builder.finish().map_err(failed)?;
    drop(builder);
    Ok(bytes)
}

/// Reads and checks a whole archive.
pub(super) fn read(path: &Path) -> Result<Vec<Member>, CliError> {
    let unreadable = |e: std::io::Error| CliError::unreadable(path, &e);
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refused(format!("{} is not a regular file", path.display())));
    }
    if metadata.mode() & MODE_NOT_OWNER != 0 {
        let why = format!("{} can be read by others (mode {:04o})", path.display(), metadata.mode() & 0o7777);
        let help =
            format!("`chmod 600 {}`; if they may have read it, revoke its certificates", path.display());
        return Err(CliError::failed("exposed", why).help(help));
    }
    if metadata.len() > ARCHIVE_BYTES_MAX {
        let why = format!("it has {} bytes, where {ARCHIVE_BYTES_MAX} are the limit", metadata.len());
        return Err(refused(why));
    }
    let members = take(Archive::new(file.take(ARCHIVE_BYTES_MAX)))?;
    if !members.iter().any(|member| member.name == FILE) {
        return Err(refused(format!("there is no `{FILE}` in it")));
    }
    Ok(members)
}

fn take(mut archive: Archive<impl std::io::Read>) -> Result<Vec<Member>, CliError> {
    let broken = |e: std::io::Error| refused(format!("it is no tar, or broken: {e}"));
    let mut members = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| refused("the name of a member is not UTF-8"))?;
        check_name(&name)?;
        if entry.header().entry_type() != EntryType::Regular {
            let kind = entry.header().entry_type();
            return Err(refused(format!("`{name}` is no regular file, but {kind:?}")));
        }
        let mode = entry.header().mode().map_err(broken)?;
        if mode & MODE_NOT_OWNER != 0 {
            return Err(refused(format!("`{name}` is meant to be read by others (mode {mode:04o})")));
        }
        check_size(&name, entry.size())?;
        let room = usize::try_from(entry.size()).unwrap_or_default();
        let mut content = Vec::with_capacity(room);
        entry.read_to_end(&mut content).map_err(broken)?;
        members.push(Member { name, content: Content::new(content) });
        check_count(members.len())?;
    }
    check(&members)?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, bytes: usize) -> Member {
        Member { name: name.to_owned(), content: Content::new(vec![b'x'; bytes]) }
    }

    /// A tar made by somebody who means harm: one member beside the file.
    fn with(name: &str, kind: EntryType, mode: u32, link: Option<&str>) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, mode, link) in [(FILE, EntryType::Regular, 0o600, None), (name, kind, mode, link)] {
            let mut header = Header::new_gnu();
            // The library refuses to write such names; a file need not come from it.
            header.as_gnu_mut().expect("a GNU header").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(if kind == EntryType::Regular { 3 } else { 0 });
            if let Some(link) = link {
                header.set_link_name(link).expect("short");
            }
            header.set_cksum();
            let content: &[u8] = if kind == EntryType::Regular { b"abc" } else { b"" };
            builder.append(&header, content).expect("appended");
        }
        builder.into_inner().expect("finished")
    }

    fn why(bytes: &[u8]) -> String {
        match take(Archive::new(bytes)) {
            Ok(_) => "taken".to_owned(),
            Err(error) => {
                assert_eq!(error.code, "bad-package");
                error.message
            }
        }
    }

    #[test]
    fn an_archive_is_read_as_it_was_written() {
        let long = format!("home/servers/{}/@web-0/tls/server.key", vec!["d".repeat(60); 4].join("/"));
        let members = [member(FILE, 5), member("home/ca/root.pem", 0), member(&long, 700)];
        check(&members).expect("good");
        let bytes = write(&members).expect("written");
        let read = take(Archive::new(&bytes[..])).expect("read");
        let all = |members: &[Member]| -> Vec<(String, usize)> {
            members.iter().map(|member| (member.name.clone(), member.content.bytes().len())).collect()
        };
        assert_eq!(all(&read), all(&members));
    }

    #[test]
    fn a_domain_called_tls_is_one_like_any_other() {
        for name in ["home/servers/tls/@web-0/tls/server.key", "home/servers/a/tls/b/@web-0/tls/chain.pem"] {
            check(&[member(FILE, 1), member(name, 1)]).expect(name);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["/etc/passwd", "../x", "home/../../x", "home/ca/../../x", "home//ca/root.pem", "."] {
            let why = why(&with(name, EntryType::Regular, 0o600, None));
            assert!(why.contains("leads out of the directory"), "{name}: {why}");
        }
        for name in [
            "home/cookie",
            "home/admin.key",
            "home/ca/root/root.key",
            "home/ca/sub/sub.key",
            "home/servers/@web-0/epoch",
            "home/servers/web-0/tls/server.key",
            "home/servers/@Web/tls/server.key",
            "home/servers/@web-0/tls/x/server.key",
            "odeon.toml.new",
        ] {
            let why = why(&with(name, EntryType::Regular, 0o600, None));
            assert!(why.contains("nothing that a package holds"), "{name}: {why}");
        }
    }

    #[test]
    fn links_directories_devices_and_open_modes_are_refused() {
        let name = "home/ca/root.pem";
        assert_eq!(why(&with(name, EntryType::Regular, 0o600, None)), "taken");
        for (kind, link) in [
            (EntryType::Symlink, Some("/etc/passwd")),
            (EntryType::Link, Some("/etc/passwd")),
            (EntryType::Directory, None),
            (EntryType::Fifo, None),
            (EntryType::Char, None),
        ] {
            let why = why(&with(name, kind, 0o600, link));
            assert!(why.contains("no regular file"), "{kind:?}: {why}");
        }
        for mode in [0o640, 0o604, 0o666] {
            assert!(why(&with(name, EntryType::Regular, mode, None)).contains("read by others"));
        }
        assert!(why(&with(FILE, EntryType::Regular, 0o600, None)).contains("twice"));
        assert!(why(&b"GET / HTTP/1.1\r\n"[..].repeat(100)).contains("no tar"));
    }

    #[test]
    fn limits_hold_at_the_last_and_fail_past_it() {
        let largest = usize::try_from(MEMBER_BYTES_MAX).expect("it fits");
        let servers =
            |count: usize| (0..count).map(|n| member(&format!("home/servers/@s{n}/tls/server.key"), 1));
        check(&servers(MEMBERS_MAX).collect::<Vec<_>>()).expect("as many as may be");
        let error = check(&servers(MEMBERS_MAX + 1).collect::<Vec<_>>()).expect_err("one more");
        assert!(error.message.contains("more than"), "{error}");
        check(&[member(FILE, largest)]).expect("as large as may be");
        assert!(check(&[member(FILE, largest + 1)]).is_err());
        let heavy =
            |count: usize| (0..count).map(|n| member(&format!("home/servers/@s{n}/tls/server.key"), largest));
        check(&heavy(8).collect::<Vec<_>>()).expect("as much as may be");
        let past: Vec<Member> = heavy(8).chain([member(FILE, 1)]).collect();
        assert!(check(&past).expect_err("one byte more").message.contains("bytes, where"));
    }
}
