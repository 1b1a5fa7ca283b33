//! `ringback dev` with nothing installed: callbacks delivered, retried and dead-lettered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::ports::free_port;
use tests::{Process, eventually, on_shared_runtime};

use super::SOON;

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

fn dev(more: &[&str]) -> Process {
    let listen = format!("127.0.0.1:{}", free_port());
    let callee = format!("127.0.0.1:{}", free_port());
    let mut arguments = vec!["dev", "--listen", &listen, "--callee-listen", &callee];
    arguments.extend(more);
    Process::ringback(&arguments, [("RINGBACK__RETRY__SCHEDULE", "1s,1s")])
}

/// Waits for the greeting, and returns the temporary directory that it names.
async fn greeted(dev: &Process) -> Option<PathBuf> {
    let log = eventually("the greeting", SOON, async || {
        let log = dev.log();
        if log.contains("Ctrl-C stops") {
            Ok(log)
        } else {
            Err(log)
        }
    })
    .await;
    let (_, rest) = log.split_once("the embedded store in ")?;
    rest.split_whitespace().next().map(PathBuf::from)
}

/// The commands to paste; some have two lines.
fn commands(log: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let is_open = |command: &String| command.matches('\'').count() % 2 == 1;
    for line in log.lines() {
        match commands.last_mut().filter(|last| is_open(last)) {
            Some(last) => *last = format!("{last}\n{line}"),
            None if line.starts_with("  curl ") => commands.push(line.to_owned()),
            None => {}
        }
    }
    commands
}

/// The id in a printed answer.
fn id(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(r#""request_id":""#)?;
    line.contains(r#""code":"000""#)
        .then(|| rest[..36].to_owned())
}

/// Waits until the lines of a callback's attempts show its end.
async fn outcome(dev: &Process, id: &str, attempts: usize, end: &str) {
    eventually(
        &format!("{end} after {attempts}"),
        HALF_A_MINUTE,
        async || {
            let log = dev.log();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| line.contains(id) && line.contains("attempt "))
                .collect();
            let ended = lines.last().is_some_and(|line| line.contains(end));
            if ended && lines.len() == attempts {
                Ok(())
            } else {
                Err(log)
            }
        },
    )
    .await;
}

#[test]
fn the_lines_to_paste_work_with_nothing_installed() {
    on_shared_runtime(async {
        let mut dev = dev(&[]);
        let directory = greeted(&dev).await.unwrap();
        assert!(
            directory.join("queue.db").exists(),
            "{}",
            directory.display()
        );
        let log = dev.log();
        let commands = commands(&log).into_iter();
        let (posts, reads): (Vec<String>, Vec<String>) =
            commands.partition(|command| command.contains("/api/callback"));
        assert_eq!((posts.len(), reads.len()), (3, 1), "{log}");
        for (post, (attempts, end)) in
            posts
                .iter()
                .zip([(1, "delivered"), (3, "delivered"), (3, "dead-lettered")])
        {
            let output = run_line(post).await;
            let id = id(&output).unwrap_or_else(|| panic!("{post}: {output}"));
            outcome(&dev, &id, attempts, end).await;
            assert!(run_line(&reads[0]).await.contains(&id));
        }
        dev.sigterm();
        let ended = dev.wait_exit(SOON).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(!directory.exists(), "{}", directory.display());
    });
}

async fn run_line(line: &str) -> String {
    let mut shell = Process::start(Path::new("/bin/sh"), &["-c", line], [("A", "")]);
    let ended = shell.wait_exit(SOON).await;
    assert!(ended.success(), "{line}: {}", shell.log());
    shell.log()
}

#[test]
fn the_demo_shows_three_outcomes_within_half_a_minute_and_goes_on() {
    on_shared_runtime(async {
        let mut dev = dev(&["--demo"]);
        let directory = greeted(&dev).await.unwrap();
        let ids = eventually("three accepted callbacks", SOON, async || {
            let log = dev.log();
            let ids: Vec<String> = log
                .lines()
                .filter(|line| line.starts_with("demo, "))
                .filter_map(id)
                .collect();
            if ids.len() == 3 { Ok(ids) } else { Err(log) }
        })
        .await;
        let outcomes = [
            (1, "delivered"),
            (3, "delivered"),
            (4, "dead-lettered (exhausted)"),
        ];
        let begun = std::time::Instant::now();
        for (id, (attempts, end)) in ids.iter().zip(outcomes) {
            outcome(&dev, id, attempts, end).await;
        }
        assert!(begun.elapsed() < HALF_A_MINUTE, "{:?}", begun.elapsed());
        let log = eventually("the summary", SOON, async || {
            let log = dev.log();
            if log.contains("The gateway goes on") {
                Ok(log)
            } else {
                Err(log)
            }
        })
        .await;
        let (stories, summary) = log.split_once("demo, what became of the three:").unwrap();
        for line in [
            "  a target that accepts it    delivered after 1 attempt\n",
            "  a target that fails twice   delivered after 3 attempts\n",
            "  a target that always fails  dead-lettered after 4 attempts (exhausted)",
        ] {
            assert!(summary.contains(line), "{line}: {summary}");
        }
        // No story begins before the one before has ended.
        let stories: Vec<&str> = stories.split("\ndemo ").skip(1).collect();
        assert_eq!(stories.len(), 3, "{log}");
        for (story, (attempts, _)) in stories.iter().zip(outcomes) {
            assert_eq!(story.matches(": attempt ").count(), attempts, "{story}");
        }
        assert_eq!(dev.ended(), None);
        dev.sigterm();
        let ended = dev.wait_exit(SOON).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(!directory.exists(), "{}", directory.display());
    });
}

#[test]
fn a_given_directory_is_kept_with_its_messages() {
    on_shared_runtime(async {
        let temp = tests::cleanup::TempDirectory::new("kept");
        let directory = temp.path().join("queue");
        let mut dev = dev(&["--data-dir", directory.to_str().unwrap()]);
        greeted(&dev).await.unwrap();
        dev.sigterm();
        let ended = dev.wait_exit(SOON).await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(tests::scenario::single_process::stored(&directory).is_empty());
    });
}
