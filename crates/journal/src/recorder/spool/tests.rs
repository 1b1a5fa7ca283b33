//! What is spooled survives the process, within its bound, and is erased once it is confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use uuid::Uuid;

use super::files::SpoolFiles;
use super::*;

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("ringback-spool-{}", Uuid::now_v7());
        Self(std::env::temp_dir().join(name))
    }

    fn files(&self, max_bytes: u64) -> SpoolFiles {
        SpoolFiles::create(&self.0, max_bytes).unwrap()
    }

    /// Every file below it.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for instance in fs::read_dir(&self.0).unwrap() {
            let instance = instance.unwrap().path();
            let files = fs::read_dir(&instance).unwrap();
            paths.extend(files.map(|file| file.unwrap().path()));
            paths.push(instance);
        }
        paths.sort();
        paths
    }

    fn record_files(&self) -> Vec<PathBuf> {
        let mut paths = self.paths();
        paths.retain(|path| path.extension().is_some_and(|it| it == "spool"));
        paths
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn frame(number: u32, bytes: usize) -> Frame {
    let mut body = format!("{number} ").into_bytes();
    body.resize(body.len().max(bytes), b'x');
    Frame {
        body: Bytes::from(body),
        records: number,
        recorded_at: u64::from(number) * 1_000,
    }
}

fn all(files: &mut SpoolFiles) -> Vec<Frame> {
    let (frames, lost) = files.oldest(usize::MAX, usize::MAX);
    assert_eq!(lost, 0);
    frames.into_iter().map(|(_, frame)| frame).collect()
}

fn confirm_all(files: &mut SpoolFiles) {
    let (frames, _) = files.oldest(usize::MAX, usize::MAX);
    for (id, _) in frames {
        files.confirm(id);
    }
}

#[test]
fn what_an_ended_instance_has_left_is_adopted_and_erased_when_it_is_confirmed() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    for number in [3, 1, 2] {
        ended.append(&frame(number, 10)).unwrap();
    }
    drop(ended);

    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans().unwrap(), 6);
    assert_eq!(all(&mut next), [frame(3, 10), frame(1, 10), frame(2, 10)]);
    let content = next.content();
    assert_eq!((content.records, content.oldest), (6, Some(1_000)));
    next.append(&frame(4, 10)).unwrap();
    assert_eq!(next.content().records, 10);
    let (frames, _) = next.oldest(2, usize::MAX);
    assert_eq!(frames.len(), 2);
    confirm_all(&mut next);
    assert_eq!(next.content(), SpoolContent::default());
    assert_eq!(directory.record_files(), [""; 0].map(PathBuf::from));
    // Its own directory and its lock are left.
    assert_eq!(directory.paths().len(), 2);
    next.close();
    assert_eq!(directory.paths().len(), 0);
}

#[test]
fn a_tail_that_was_not_written_whole_is_cut_off() {
    let whole = frame(2, 30).encode().unwrap().len();
    for cut in [1, 5, whole - HEADER_CUT, whole - 1] {
        let directory = Directory::new();
        let mut ended = directory.files(u64::MAX);
        ended.append(&frame(1, 30)).unwrap();
        ended.append(&frame(2, 30)).unwrap();
        drop(ended);
        let [path] = &directory.record_files()[..] else {
            panic!("one file")
        };
        let bytes = fs::read(path).unwrap();
        let kept = bytes.len() - cut;
        fs::write(path, &bytes[..kept]).unwrap();

        let mut next = directory.files(u64::MAX);
        assert_eq!(next.adopt_orphans().unwrap(), 1, "cut by {cut}");
        assert_eq!(all(&mut next), [frame(1, 30)]);
        assert_eq!(fs::read(path).unwrap().len(), bytes.len() - whole);
    }
}

/// More than a header is left of the frame.
const HEADER_CUT: usize = 25;

#[test]
fn a_damaged_frame_ends_what_is_read_of_its_file() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    for number in 1..=3 {
        ended.append(&frame(number, 30)).unwrap();
    }
    drop(ended);
    let path = directory.record_files().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut next = directory.files(u64::MAX);
    next.adopt_orphans().unwrap();
    assert_eq!(all(&mut next), [frame(1, 30)]);
}

#[test]
fn a_file_of_another_format_is_left_alone() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    ended.append(&frame(1, 30)).unwrap();
    drop(ended);
    let path = directory.record_files().remove(0);
    let newer = b"RBSPOOL9 and what a newer version makes of it";
    fs::write(&path, newer).unwrap();
    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans().unwrap(), 0);
    next.close();
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn a_running_instance_keeps_its_files() {
    let directory = Directory::new();
    let mut running = directory.files(u64::MAX);
    running.append(&frame(1, 10)).unwrap();
    let mut other = directory.files(u64::MAX);
    assert_eq!(other.adopt_orphans().unwrap(), 0);
    assert_eq!(all(&mut other), []);
    drop(running);
    // An instance that runs already adopts as well.
    assert_eq!(other.adopt_orphans().unwrap(), 1);
    let mut third = directory.files(u64::MAX);
    assert_eq!(third.adopt_orphans().unwrap(), 0, "it has an owner again");
}

#[test]
fn the_files_are_bounded_with_those_that_were_adopted() {
    let directory = Directory::new();
    let mut first = directory.files(1_000);
    for number in 0..7 {
        first.append(&frame(number, 100)).unwrap();
    }
    let full = |files: &mut SpoolFiles| {
        let refused = files.append(&frame(9, 200)).unwrap_err();
        assert!(matches!(refused, AppendError::Full), "{refused}");
    };
    full(&mut first);
    assert!(first.content().bytes <= 1_000);
    drop(first);
    let mut next = directory.files(1_000);
    next.append(&frame(9, 200)).unwrap();
    next.adopt_orphans().unwrap();
    full(&mut next);
    confirm_all(&mut next);
    next.append(&frame(9, 200)).unwrap();
}

#[test]
fn each_file_is_removed_when_all_its_frames_are_confirmed() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    for number in 0..5 {
        files.append(&frame(number, 3 * 1024 * 1024)).unwrap();
    }
    assert_eq!(directory.record_files().len(), 2);
    let (frames, _) = files.oldest(3, usize::MAX);
    for (id, _) in frames {
        files.confirm(id);
    }
    assert_eq!(directory.record_files().len(), 1);
    let numbers: Vec<u32> = all(&mut files).iter().map(|frame| frame.records).collect();
    assert_eq!(numbers, [3, 4]);
}

#[test]
fn only_the_owner_can_read_what_is_spooled() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    files.append(&frame(1, 10)).unwrap();
    let paths = directory.paths();
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths.into_iter().chain([directory.0.clone()]) {
        let found = fs::metadata(&path).unwrap();
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o777, expected, "{path:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_created_is_an_error() {
    let directory = Directory::new();
    fs::write(&directory.0, "a file").unwrap();
    assert!(Spool::open(&directory.0).is_err());
    fs::remove_file(&directory.0).unwrap();
}

#[tokio::test]
async fn a_failed_append_leaves_the_spool_usable() {
    let directory = Directory::new();
    let spool = Spool::with_max_bytes(&directory.0, 10_000).unwrap();
    let full = spool.append(frame(1, 20_000)).await.unwrap_err();
    assert!(matches!(full, AppendError::Full), "{full}");
    // The disk is gone, and comes back.
    let instance = directory.paths().remove(0);
    let away = directory.0.join("away");
    fs::rename(&instance, &away).unwrap();
    let failed = spool.append(frame(1, 10)).await.unwrap_err();
    assert!(matches!(failed, AppendError::Io(_)), "{failed}");
    fs::rename(&away, &instance).unwrap();
    let id = spool.append(frame(1, 10)).await.unwrap();
    assert_eq!(spool.oldest().await.frames, [(id, frame(1, 10))]);
    assert_eq!(spool.close().await, 1);
    assert_eq!(directory.record_files().len(), 1);
    let stopped = spool.append(frame(2, 10)).await.unwrap_err();
    assert!(matches!(stopped, AppendError::NoAnswer), "{stopped}");
}
