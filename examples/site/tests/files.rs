//! `files::router` behind a real socket: every request here is written out as HTTP/1.1, so that nothing between
//! the test and the server tidies a path or a header.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::http::HeaderValue;
use site::files;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// No answer of these servers takes a fraction of this; it only ends a test that would hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const SECRET: &str = "not for the public";
const DIGITS: &str = "0123456789";

struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    fn start(root: &Path) -> Self {
        let router =
            files::router(root, HeaderValue::from_static("web-0@/")).expect("the root is a directory");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("address");
        let runtime = Runtime::new().expect("runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of this runtime");
            axum::serve(listener, router).await.expect("serve");
        });
        Self { address, _runtime: runtime }
    }

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("timeout");
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).expect("send");
        stream
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut bytes = Vec::new();
        self.send(method, target, headers).read_to_end(&mut bytes).expect("a whole answer");
        Answer::parse(&bytes)
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an end of the headers");
        let head = str::from_utf8(&bytes[..end]).expect("headers in ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines
            .map(|line| line.split_once(": ").expect("name: value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            status: status.parse().expect("a status"),
            headers: headers.collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }
}

/// A directory with one of everything, and a secret beside it.
fn fixture() -> (TempDir, Server) {
    // Not the default prefix, a dot: what is outside shall be refused because it is outside, not as hidden.
    let dir = tempfile::Builder::new().prefix("site-").tempdir().expect("temporary directory");
    let root = dir.path().join("public");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        fs::write(path, text).expect("write");
    };
    fs::create_dir(&root).expect("root");
    fs::write(dir.path().join("secret.txt"), SECRET).expect("write");
    for name in
        ["index.html", "docs/index.html", "a.css", "a.js", "a.json", "a.svg", "a.png", "a.woff2", "a.wasm"]
    {
        write(name, name);
    }
    write("README", "no extension");
    write("digits.txt", DIGITS);
    write("with space.txt", "space");
    write("null.txt", "");
    write("empty/deep/note.txt", "deep");
    write(".env", SECRET);
    write(".git/config", SECRET);
    write("docs/.draft.html", SECRET);
    symlink("../secret.txt", root.join("out.txt")).expect("link");
    symlink(dir.path().join("secret.txt"), root.join("out-absolute.txt")).expect("link");
    symlink("..", root.join("out")).expect("link");
    symlink(".env", root.join("env.txt")).expect("link");
    symlink("digits.txt", root.join(".link.txt")).expect("link");
    symlink("loop", root.join("loop")).expect("link");
    symlink("digits.txt", root.join("in.txt")).expect("link");
    let made = Command::new("mkfifo").arg(root.join("pipe")).status().expect("mkfifo");
    assert!(made.success(), "mkfifo failed");
    let server = Server::start(&root);
    (dir, server)
}

#[test]
fn files_have_their_types_and_lengths() {
    let (_dir, server) = fixture();
    for (target, kind, body) in [
        ("/", "text/html; charset=utf-8", "index.html"),
        ("/index.html", "text/html; charset=utf-8", "index.html"),
        ("/docs/", "text/html; charset=utf-8", "docs/index.html"),
        ("/docs/?q=1", "text/html; charset=utf-8", "docs/index.html"),
        ("/a.css", "text/css; charset=utf-8", "a.css"),
        ("/a.js", "text/javascript; charset=utf-8", "a.js"),
        ("/a.json", "application/json", "a.json"),
        ("/a.svg", "image/svg+xml", "a.svg"),
        ("/a.png", "image/png", "a.png"),
        ("/a.woff2", "font/woff2", "a.woff2"),
        ("/a.wasm", "application/wasm", "a.wasm"),
        ("/README", "application/octet-stream", "no extension"),
        ("/digits.txt", "text/plain; charset=utf-8", DIGITS),
        ("/%64igits.txt", "text/plain; charset=utf-8", DIGITS),
        ("/empty%2fdeep/./note.txt", "text/plain; charset=utf-8", "deep"),
        ("/with%20space.txt", "text/plain; charset=utf-8", "space"),
        ("/null.txt", "text/plain; charset=utf-8", ""),
        ("/in.txt", "text/plain; charset=utf-8", DIGITS),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("content-type"), Some(kind), "{target}");
        assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()), "{target}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{target}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{target}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("x-served-by"), Some("web-0@/"), "{target}");
        assert_eq!(answer.text(), body, "{target}");

        let head = server.ask("HEAD", target, &[]);
        assert_eq!(head.status, 200, "HEAD {target}");
        assert_eq!(head.body, b"", "HEAD {target}");
        for name in ["content-type", "content-length", "etag", "last-modified"] {
            assert!(answer.header(name).is_some(), "{target} has no {name}");
            assert_eq!(head.header(name), answer.header(name), "HEAD {target}: {name}");
        }
    }
}

#[test]
fn a_directory_redirects_to_its_slash() {
    let (_dir, server) = fixture();
    for (target, location) in
        [("/docs", "/docs/"), ("/docs?q=1", "/docs/?q=1"), ("/empty/deep", "/empty/deep/")]
    {
        let answer = server.get(target);
        assert_eq!(answer.status, 307, "{target}");
        assert_eq!(answer.header("location"), Some(location), "{target}");
        assert_eq!(answer.header("x-served-by"), Some("web-0@/"), "{target}");
    }
}

#[test]
fn nothing_outside_hidden_or_absent_is_served() {
    let (_dir, server) = fixture();
    let too_long_name = format!("/{}", "n".repeat(300));
    let too_long_path = "/docs".repeat(1000);
    let absent = "/nothing /docs/nothing /empty/ /a.css/ /a.css/x /loop /pipe /docs/pipe relative secret.txt";
    let above = "/../secret.txt /docs/../../secret.txt /%2e%2e/secret.txt /%2E%2E%2Fsecret.txt /..%2fsecret.txt \
        /docs/..%2f..%2fsecret.txt /..%5csecret.txt /%252e%252e/secret.txt /.../secret.txt \
        /%c0%ae%c0%ae/secret.txt /docs/../index.html";
    let absolute = "/etc/passwd //etc/passwd /%2fetc/passwd /%2fetc%2fpasswd /file:///etc/passwd";
    let redirects_to_a_host = "//docs ///docs //localhost/docs";
    let not_a_name = "/%00 /index.html%00 /index.html%00.txt /%ff /docs%00/index.html";
    let linked = "/out.txt /out-absolute.txt /out/secret.txt /out/ /out /out/public/index.html/ /env.txt";
    let hidden = "/.env /.link.txt /%2eenv /.git/config /.git /.git/ /docs/.draft.html";
    let cases = [absent, above, absolute, redirects_to_a_host, not_a_name, linked, hidden].join(" ");
    for target in cases.split(' ').chain([&*too_long_name, &too_long_path]) {
        let answer = server.get(target);
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{target}");
        assert_eq!(answer.header("x-served-by"), Some("web-0@/"), "{target}");
        assert!(answer.text().contains("There is no such page"), "{target}");
        let head = server.ask("HEAD", target, &[]);
        assert_eq!((head.status, head.body.len()), (404, 0), "HEAD {target}");
    }
    for target in ["/a b", "/\u{1}", ""] {
        assert_eq!(server.get(target).status, 400, "{target:?}");
    }
    assert_eq!(server.get("/").status, 200, "the server still serves");
}

#[test]
fn only_get_and_head() {
    let (_dir, server) = fixture();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for target in ["/", "/digits.txt", "/nothing"] {
            let answer = server.ask(method, target, &[]);
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {target}");
            assert_eq!(answer.header("x-served-by"), Some("web-0@/"), "{method} {target}");
        }
    }
}

#[test]
fn ranges() {
    let (_dir, server) = fixture();
    // (range, status, content-range, body)
    for (range, status, content_range, body) in [
        ("bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("bytes=4-4", 206, Some("bytes 4-4/10"), "4"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=0-9", 206, Some("bytes 0-9/10"), DIGITS),
        ("bytes=9-9", 206, Some("bytes 9-9/10"), "9"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=10-12", 416, Some("bytes */10"), ""),
        ("bytes=99999999999999999999-", 416, Some("bytes */10"), ""),
        ("bytes=5-2", 416, Some("bytes */10"), ""),
        // Several ranges, and units that are not ours: the whole file.
        ("bytes=0-1,4-5", 200, None, DIGITS),
        ("items=0-3", 200, None, DIGITS),
    ] {
        let answer = server.ask("GET", "/digits.txt", &[("range", range)]);
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.text(), body, "{range}");
        let head = server.ask("HEAD", "/digits.txt", &[("range", range)]);
        assert_eq!((head.status, head.header("content-length")), (200, Some("10")), "HEAD {range}");
    }
}

#[test]
fn conditions() {
    let (dir, server) = fixture();
    let first = server.get("/digits.txt");
    let tag = first.header("etag").expect("an ETag").to_owned();
    let date = first.header("last-modified").expect("a date").to_owned();
    assert!(tag.starts_with('"'), "{tag} is strong");
    let (weak, several, past) =
        (format!("W/{tag}"), format!("\"x\", {tag}"), "Thu, 01 Jan 1970 00:00:00 GMT");
    let check = |headers: &[(&str, &str)], status: u16, body: &str| {
        let answer = server.ask("GET", "/digits.txt", headers);
        assert_eq!((answer.status, answer.text()), (status, body), "{headers:?}");
        assert_eq!(answer.header("x-served-by"), Some("web-0@/"), "{headers:?}");
        if status != 412 {
            assert!(answer.header("etag").is_some(), "{headers:?}");
        }
    };
    check(&[("if-none-match", &tag)], 304, "");
    check(&[("if-none-match", &weak)], 304, "");
    check(&[("if-none-match", &several)], 304, "");
    check(&[("if-none-match", "*")], 304, "");
    check(&[("if-none-match", "\"x\"")], 200, DIGITS);
    check(&[("if-modified-since", &date)], 304, "");
    check(&[("if-modified-since", past)], 200, DIGITS);
    check(&[("if-none-match", "\"x\""), ("if-modified-since", &date)], 200, DIGITS);
    check(&[("if-match", "\"x\"")], 412, "");
    let part = ("range", "bytes=0-3");
    check(&[part, ("if-range", &tag)], 206, "0123");
    check(&[part, ("if-range", "\"x\"")], 200, DIGITS);
    check(&[part, ("if-range", &weak)], 200, DIGITS);
    check(&[part, ("if-range", &date)], 200, DIGITS);
    check(&[part, ("if-range", &tag), ("if-match", &tag)], 200, DIGITS);
    check(&[part, ("if-range", &tag), ("if-none-match", &tag)], 304, "");
    check(&[part, ("if-range", "\"x\""), ("if-none-match", &tag)], 304, "");
    check(&[("if-range", "\"x\"")], 200, DIGITS);

    fs::write(dir.path().join("public/digits.txt"), "changed").expect("write");
    check(&[("if-none-match", &tag)], 200, "changed");
    check(&[part, ("if-range", &tag)], 200, "changed");
}

#[test]
fn a_large_file_arrives_whole() {
    let (dir, server) = fixture();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
    fs::write(dir.path().join("public/large.bin"), &bytes).expect("write");
    let answer = server.get("/large.bin");
    assert_eq!(answer.header("content-length"), Some("5000000"));
    assert!(answer.body == bytes, "the bytes differ");
    let part = server.ask("GET", "/large.bin", &[("range", "bytes=4000000-")]);
    assert!(part.body == bytes[4_000_000..], "the bytes of the part differ");
}

/// Eight readers of a file of 512 MiB that stop after the first megabyte cost next to nothing.
#[test]
fn files_are_not_read_into_memory() {
    const FILE_BYTES: u64 = 512 << 20;
    const GROWTH_KB_MAX: u64 = 64 << 10;
    let (dir, server) = fixture();
    let file = fs::File::create(dir.path().join("public/huge.bin")).expect("create");
    file.set_len(FILE_BYTES).expect("a sparse file");
    let before = resident_kb();
    let readers: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = server.send("GET", "/huge.bin", &[]);
            stream.read_exact(&mut vec![0; 1 << 20]).expect("the first megabyte");
            stream
        })
        .collect();
    let growth = resident_kb().saturating_sub(before);
    assert!(growth < GROWTH_KB_MAX, "{} readers cost {growth} kB", readers.len());
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("process status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident size");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number of kB")
}

#[test]
fn a_root_must_be_a_directory() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (file, absent) = (dir.path().join("file"), dir.path().join("absent"));
    fs::write(&file, "").expect("write");
    let refuse = |path: &Path| files::router(path, HeaderValue::from_static("web-0@/")).expect_err("no root");
    assert!(matches!(refuse(&file), files::RootError::NotADirectory { .. }));
    assert!(matches!(refuse(&absent), files::RootError::Unresolved { .. }));
    assert!(refuse(&absent).to_string().contains(&*absent.to_string_lossy()), "the error names the path");

    // A root that is itself a link, below a hidden directory, is as good as any.
    let hidden = dir.path().join(".hidden");
    fs::create_dir(&hidden).expect("directory");
    fs::write(hidden.join("index.html"), "home").expect("write");
    symlink(&hidden, dir.path().join("link")).expect("link");
    assert_eq!(Server::start(&dir.path().join("link")).get("/").text(), "home");
}

/// The site's own pages: every link inside them leads to a page.
#[test]
fn own_pages_hang_together() {
    let root = Path::new(PAGES);
    let server = Server::start(root);
    let files = walk(root);
    assert!(files.len() >= 8, "{files:?}");
    let mut links = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "html")) {
        let text = fs::read_to_string(root.join(file)).expect("a page");
        for attribute in ["href=\"", "src=\""] {
            for link in text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(link.starts_with('/') || link.starts_with('#'), "{}: {link}", file.display());
                if link.starts_with('/') {
                    assert_eq!(server.get(link).status, 200, "{}: {link}", file.display());
                    links += 1;
                }
            }
        }
    }
    assert!(links > 20, "only {links} links found");
}

/// Three hundred files of the toolchain's own documentation, where it is installed.
#[test]
fn toolchain_documentation() {
    const SAMPLES: usize = 300;
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc").stdout;
    let sysroot = String::from_utf8(sysroot).expect("a path");
    let root = Path::new(sysroot.trim()).join("share/doc/rust/html");
    if !root.is_dir() {
        eprintln!("skipped: the toolchain has no documentation installed");
        return;
    }
    let server = Server::start(&root);
    let files = walk(&root);
    let samples: Vec<_> = files.iter().step_by((files.len() / SAMPLES).max(1)).collect();
    for file in &samples {
        let target = url(file);
        let answer = server.get(&target);
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.body == fs::read(root.join(file)).expect("read"), "{target}: the bytes differ");
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()), "{target}");
        assert_eq!(answer.header("content-type"), Some(kind_of(file)), "{target}");
        let tag = answer.header("etag").expect("an ETag");
        assert_eq!(server.ask("GET", &target, &[("if-none-match", tag)]).status, 304, "{target}");
    }
    eprintln!("served {} of {} files", samples.len(), files.len());
}

fn kind_of(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("md") => "text/markdown; charset=utf-8",
        Some("rs") => "text/x-rust; charset=utf-8",
        Some("toml") => "text/x-toml; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The files below `root` that are not hidden, in order, relative to it.
fn walk(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut left) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type().expect("a type") {
                kind if kind.is_dir() => left.push(path),
                _ => files.push(path.strip_prefix(root).expect("below the root").to_path_buf()),
            }
        }
    }
    files.sort();
    files
}

fn url(file: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/".contains(byte);
    file.as_os_str().as_encoded_bytes().iter().fold("/".to_owned(), |url, byte| match plain(byte) {
        true => url + &char::from(*byte).to_string(),
        false => url + &format!("%{byte:02x}"),
    })
}

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pages");
