//! What is spooled survives the process, within its bound, and is erased once it is confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use uuid::Uuid;

use super::files::SpoolFiles;
use super::frame::{FILE_HEADER, HEADER_BYTES};
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
            if instance.is_file() {
                continue; // A damaged file that is kept.
            }
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
    let frames = files.oldest(usize::MAX, usize::MAX, Instant::now());
    frames.into_iter().map(|(_, frame)| frame).collect()
}

fn confirm_all(files: &mut SpoolFiles) {
    let frames = files.oldest(usize::MAX, usize::MAX, Instant::now());
    for (id, _) in frames {
        files.confirm(id);
    }
}

#[test]
fn what_an_ended_instance_has_left_is_adopted_and_erased_when_it_is_confirmed() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    for number in [3, 1, 2] {
        ended.append(&frame(number, 10), FrameUse::Waiting).unwrap();
    }
    drop(ended);

    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans(), 6);
    assert_eq!(all(&mut next), [frame(3, 10), frame(1, 10), frame(2, 10)]);
    let content = next.content();
    assert_eq!((content.records, content.oldest), (6, Some(1_000)));
    next.append(&frame(4, 10), FrameUse::Waiting).unwrap();
    assert_eq!(next.content().records, 10);
    let frames = next.oldest(2, usize::MAX, Instant::now());
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
    let whole = frame(2, 30).encode().unwrap().1.len();
    for cut in [1, 5, whole - HEADER_CUT, whole - 1] {
        let directory = Directory::new();
        let mut ended = directory.files(u64::MAX);
        ended.append(&frame(1, 30), FrameUse::Waiting).unwrap();
        ended.append(&frame(2, 30), FrameUse::Waiting).unwrap();
        drop(ended);
        let [path] = &directory.record_files()[..] else {
            panic!("one file")
        };
        let bytes = fs::read(path).unwrap();
        let kept = bytes.len() - cut;
        fs::write(path, &bytes[..kept]).unwrap();

        let mut next = directory.files(u64::MAX);
        assert_eq!(next.adopt_orphans(), 1, "cut by {cut}");
        assert_eq!(all(&mut next), [frame(1, 30)]);
        assert_eq!(fs::read(path).unwrap().len(), bytes.len() - whole);
    }
}

/// More than a header is left of the frame.
const HEADER_CUT: usize = HEADER_BYTES + 5;

/// Changes a byte in the body of the frame with this number, of those that [`frame`] made.
fn damage(path: &Path, number: usize, bytes: usize) {
    let mut content = fs::read(path).unwrap();
    let length = HEADER_BYTES + bytes;
    content[FILE_HEADER.len() + number * length + HEADER_BYTES] ^= 1;
    fs::write(path, &content).unwrap();
}

/// The damaged files that are kept.
fn kept(directory: &Directory) -> Vec<PathBuf> {
    let entries = fs::read_dir(&directory.0).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
}

#[test]
fn only_a_damaged_frame_is_lost_and_counted_and_its_file_is_kept() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    for number in 1..=3 {
        ended.append(&frame(number, 30), FrameUse::Waiting).unwrap();
    }
    drop(ended);
    let path = directory.record_files().remove(0);
    damage(&path, 1, 30);
    let damaged = fs::read(&path).unwrap();
    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans(), 4);
    assert_eq!(all(&mut next), [frame(1, 30), frame(3, 30)]);
    assert_eq!(next.content().lost, 2);
    assert_eq!(kept(&directory), [""; 0].map(PathBuf::from), "not yet");
    confirm_all(&mut next);
    let [kept] = &kept(&directory)[..] else {
        panic!("one file")
    };
    assert_eq!(fs::read(kept).unwrap(), damaged);
    next.close();
}

#[test]
fn a_frame_that_is_damaged_while_its_process_runs_is_lost_alone() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    for number in 1..=3 {
        files.append(&frame(number, 30), FrameUse::Waiting).unwrap();
    }
    damage(&directory.record_files().remove(0), 1, 30);
    assert_eq!(all(&mut files), [frame(1, 30), frame(3, 30)]);
    assert_eq!((files.content().lost, files.content().records), (2, 4));
    // The file is shorter than it was.
    let path = directory.record_files().remove(0);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(fs::metadata(&path).unwrap().len() - 1)
        .unwrap();
    assert_eq!(all(&mut files), [frame(1, 30)]);
    assert_eq!((files.content().lost, files.content().records), (5, 1));
    confirm_all(&mut files);
    assert_eq!(kept(&directory).len(), 1);
    files.append(&frame(4, 30), FrameUse::Waiting).unwrap();
    assert_eq!(all(&mut files), [frame(4, 30)]);
}

#[test]
fn the_number_of_damaged_files_that_are_kept_is_bounded() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    for number in 1..=12 {
        files.append(&frame(number, 30), FrameUse::Waiting).unwrap();
        damage(&directory.record_files().remove(0), 0, 30);
        assert_eq!(all(&mut files), []);
    }
    let kept = kept(&directory);
    assert_eq!(kept.len(), 8);
    let newest = fs::read(&kept[7]).unwrap();
    assert!(newest[FILE_HEADER.len() + HEADER_BYTES..].ends_with(b"xxx"));
}

#[test]
fn what_cannot_be_read_stays_and_is_told_and_hides_nothing_else() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    for number in 0..4 {
        let frame = frame(number, 3 * 1024 * 1024);
        ended.append(&frame, FrameUse::Waiting).unwrap();
    }
    drop(ended);
    let [first, second] = &directory.record_files()[..] else {
        panic!("two files")
    };
    // Neither a file of this version nor, even for root, readable as one.
    let away = directory.0.join("away");
    fs::rename(first, &away).unwrap();
    fs::create_dir(first).unwrap();
    let newer = second.with_file_name("records-00000002.spool");
    let text = b"RBSPOOL9 and what a newer version makes of it";
    fs::write(&newer, text).unwrap();

    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans(), 3);
    assert_eq!(all(&mut next).len(), 1);
    assert_eq!(next.content().unread_files, 2);
    confirm_all(&mut next);
    assert_eq!(next.adopt_orphans(), 0);
    assert_eq!(next.content().unread_files, 2);
    // It can be read again.
    fs::remove_dir(first).unwrap();
    fs::rename(&away, first).unwrap();
    assert_eq!(next.adopt_orphans(), 3);
    assert_eq!((all(&mut next).len(), next.content().unread_files), (3, 1));
    confirm_all(&mut next);
    assert_eq!(fs::read(&newer).unwrap(), text);
    next.close();
    assert_eq!(fs::read(&newer).unwrap(), text, "for a newer version");
}

#[test]
fn a_directory_that_cannot_be_locked_hides_no_other() {
    let directory = Directory::new();
    let mut ended = directory.files(u64::MAX);
    ended.append(&frame(1, 10), FrameUse::Waiting).unwrap();
    drop(ended);
    let other = directory.0.join(format!("recorder-{}", Uuid::now_v7()));
    fs::create_dir_all(other.join("lock")).unwrap();
    let mut next = directory.files(u64::MAX);
    assert_eq!(next.adopt_orphans(), 1);
    assert_eq!(next.content().unread_files, 1);
    fs::remove_dir_all(other).unwrap();
    next.adopt_orphans();
    assert_eq!(next.content().unread_files, 0);
}

#[test]
fn what_another_version_wrote_is_kept_for_it_and_holds_up_nothing() {
    let directory = Directory::new();
    let mut files = directory.files(1_000);
    for number in 1..=3 {
        files.append(&frame(number, 30), FrameUse::Waiting).unwrap();
    }
    let frames = files.oldest(usize::MAX, usize::MAX, Instant::now());
    let (id, newer) = frames[1].clone();
    files.keep_undecodable(id, &newer, "unknown version 3");
    assert_eq!(all(&mut files), [frame(1, 30), frame(3, 30)]);
    confirm_all(&mut files);
    let content = files.content();
    assert_eq!((content.records, content.frames), (0, 0));
    assert_eq!((content.undecodable, content.oldest), (2, Some(2_000)));
    assert_eq!(directory.record_files().len(), 1);
    files.close();
    // The next process tries again.
    let mut next = directory.files(1_000);
    assert_eq!(next.adopt_orphans(), 2);
    assert_eq!(all(&mut next), [newer]);
    confirm_all(&mut next);
    assert_eq!(next.content(), SpoolContent::default());
    // A quarter of the bound is kept, no more.
    for _ in 0..9 {
        let id = next.append(&frame(2, 30), FrameUse::Waiting).unwrap();
        next.keep_undecodable(id, &frame(2, 30), "unknown version 3");
    }
    let content = next.content();
    assert_eq!((content.undecodable, content.lost), (8, 10));
}

#[test]
fn a_batch_that_is_being_put_is_not_read() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    let id = files.append(&frame(1, 10), FrameUse::BeingPut).unwrap();
    files.append(&frame(2, 10), FrameUse::Waiting).unwrap();
    assert_eq!(all(&mut files), [frame(2, 10)]);
    assert_eq!(files.content().records, 3);
    files.confirm(id);
    assert_eq!(files.content().records, 2);
}

#[test]
fn a_running_instance_keeps_its_files() {
    let directory = Directory::new();
    let mut running = directory.files(u64::MAX);
    running.append(&frame(1, 10), FrameUse::Waiting).unwrap();
    let mut other = directory.files(u64::MAX);
    assert_eq!(other.adopt_orphans(), 0);
    assert_eq!(all(&mut other), []);
    drop(running);
    // An instance that runs already adopts as well.
    assert_eq!(other.adopt_orphans(), 1);
    let mut third = directory.files(u64::MAX);
    assert_eq!(third.adopt_orphans(), 0, "it has an owner again");
}

#[test]
fn the_files_are_bounded_with_those_that_were_adopted() {
    let directory = Directory::new();
    let mut first = directory.files(1_000);
    for number in 0..7 {
        first
            .append(&frame(number, 100), FrameUse::Waiting)
            .unwrap();
    }
    let full = |files: &mut SpoolFiles| {
        let refused = files.append(&frame(9, 200), FrameUse::Waiting).unwrap_err();
        assert!(matches!(refused, AppendError::Full), "{refused}");
    };
    full(&mut first);
    assert!(first.content().bytes <= 1_000);
    drop(first);
    let mut next = directory.files(1_000);
    next.append(&frame(9, 200), FrameUse::Waiting).unwrap();
    next.adopt_orphans();
    full(&mut next);
    confirm_all(&mut next);
    next.append(&frame(9, 200), FrameUse::Waiting).unwrap();
}

#[test]
fn each_file_is_removed_when_all_its_frames_are_confirmed() {
    let directory = Directory::new();
    let mut files = directory.files(u64::MAX);
    for number in 0..5 {
        files
            .append(&frame(number, 3 * 1024 * 1024), FrameUse::Waiting)
            .unwrap();
    }
    assert_eq!(directory.record_files().len(), 2);
    let frames = files.oldest(3, usize::MAX, Instant::now());
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
    files.append(&frame(1, 10), FrameUse::Waiting).unwrap();
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
    let full = spool
        .append(frame(1, 20_000), FrameUse::Waiting)
        .await
        .unwrap_err();
    assert!(matches!(full, AppendError::Full), "{full}");
    // The disk is gone, and comes back.
    let instance = directory.paths().remove(0);
    let away = directory.0.join("away");
    fs::rename(&instance, &away).unwrap();
    let failed = spool
        .append(frame(1, 10), FrameUse::Waiting)
        .await
        .unwrap_err();
    assert!(matches!(failed, AppendError::Io(_)), "{failed}");
    fs::rename(&away, &instance).unwrap();
    let id = spool.append(frame(1, 10), FrameUse::Waiting).await.unwrap();
    assert_eq!(spool.oldest().await, [(id, frame(1, 10))]);
    assert_eq!(spool.close().await, 1);
    assert_eq!(directory.record_files().len(), 1);
    let stopped = spool
        .append(frame(2, 10), FrameUse::Waiting)
        .await
        .unwrap_err();
    assert!(matches!(stopped, AppendError::NoAnswer), "{stopped}");
}
