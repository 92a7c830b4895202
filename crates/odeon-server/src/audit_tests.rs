//! The audit log on a disk with a mind of its own: what is not written is counted, and files take turns.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Files in memory, on a disk that can be full.
#[derive(Debug, Default)]
struct Disks {
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    is_full: AtomicBool,
}

impl Disk for Disks {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let files = self.files.lock().expect("nothing panics under it");
        files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files.lock().expect("nothing panics under it").insert(path.into(), bytes.into());
        Ok(())
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut files = self.files.lock().expect("nothing panics under it");
        files.entry(path.into()).or_default().extend_from_slice(bytes);
        Ok(())
    }
}

fn add(audit: &Audit, why: &str) {
    let (server, peer) = ("b@/".parse().expect("an id"), "a@/".parse().expect("an id"));
    audit.add(Entry {
        unix_ms: 0,
        server: &server,
        peer: &peer,
        peer_epoch: Epoch(1),
        transport: Transport::Tcp,
        certificate: None,
        actor: None,
        mark: None,
        capability: "loader",
        path: None,
        allowed: true,
        why: why.to_owned(),
        chain: &[],
        so_far: None,
        left_out: None,
    });
}

fn log(disk: &Arc<Disks>) -> Audit {
    Audit::new(Arc::clone(disk) as Arc<dyn Disk>, Some(Path::new("/place")))
}

fn text(disk: &Disks, file: &str) -> String {
    String::from_utf8(disk.read(&Path::new("/place").join(file)).unwrap_or_default()).expect("text")
}

#[test]
fn what_the_disk_refuses_is_counted_in_the_next_line_that_it_takes() {
    let disk = Arc::<Disks>::default();
    let audit = log(&disk);
    disk.is_full.store(true, Ordering::Relaxed);
    for round in 0..3 {
        add(&audit, "lost");
        add(&audit, "lost");
        audit.flush();
        assert_eq!(text(&disk, AUDIT_FILE), "", "{round}");
    }
    disk.is_full.store(false, Ordering::Relaxed);
    add(&audit, "first");
    add(&audit, "second");
    audit.flush();
    let written = text(&disk, AUDIT_FILE);
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 2, "{written}");
    assert!(lines[0].contains("first") && lines[0].contains(r#""left_out":6"#), "{written}");
    assert!(!lines[1].contains("left_out"), "{written}");
}

#[test]
fn past_the_queues_limit_acts_are_counted_and_at_it_none_is() {
    let disk = Arc::<Disks>::default();
    let audit = log(&disk);
    for _ in 0..QUEUE_LINES_MAX {
        add(&audit, "room");
    }
    audit.flush();
    assert!(!text(&disk, AUDIT_FILE).contains("left_out"));
    for _ in 0..=QUEUE_LINES_MAX {
        add(&audit, "room");
    }
    audit.flush();
    add(&audit, "next");
    audit.flush();
    let written = text(&disk, AUDIT_FILE);
    assert_eq!(written.lines().count(), 2 * QUEUE_LINES_MAX + 1);
    assert!(written.lines().last().is_some_and(|line| line.contains(r#""left_out":1"#)), "{written}");
}

#[test]
fn a_full_file_makes_room_and_one_before_it_is_kept() {
    let disk = Arc::<Disks>::default();
    let audit = log(&disk);
    let (mut number, long) = (0, "x".repeat(40_000));
    let mut write_until = |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            add(&audit, &format!("act {number} {long}"));
            audit.flush();
            number += 1;
            assert!(text(&disk, AUDIT_FILE).len() <= FILE_BYTES_MAX);
        }
    };
    let before = || text(&disk, "audit.jsonl.1");
    write_until(&|| !before().is_empty());
    assert!(before().contains("act 0 ") && before().len() > FILE_BYTES_MAX / 2);
    write_until(&|| !before().contains("act 0 "));
    let acts: Vec<String> =
        [before(), text(&disk, AUDIT_FILE)].concat().lines().map(ToOwned::to_owned).collect();
    let first = number - acts.len();
    for (act, line) in (first..number).zip(&acts) {
        assert!(line.contains(&format!("act {act} ")), "{act} is missing");
    }
    // The next incarnation goes on where this one has stopped.
    let audit = log(&disk);
    add(&audit, "of the next");
    audit.flush();
    assert_eq!(text(&disk, AUDIT_FILE).lines().count(), acts.len() - before().lines().count() + 1);
}
