//! A process that cannot or must not use the store is refused with one sentence.

use tests::{Process, SingleProcess, on_shared_runtime};

use super::SOON;
use tests::ports::free_port;

/// The error of `ringback ROLE` with these variables; it must not start.
async fn error_of(role: &str, variables: &[(&str, &str)]) -> String {
    let mut process = Process::ringback(&[role], variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    let output = process.log();
    assert!(!ended.success(), "{role} {variables:?}: {output}");
    let sentences: Vec<&str> = output
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    assert_eq!(sentences.len(), 1, "{role} {variables:?}: {output}");
    sentences[0].to_owned()
}

#[test]
fn a_second_process_on_a_directory_is_refused() {
    on_shared_runtime(async {
        let gateway = SingleProcess::start(&[]).await;
        let listen = format!("127.0.0.1:{}", free_port());
        let directory = gateway.directory().display().to_string();
        let variables = [
            ("RINGBACK__BROKER__DATA_DIR", &*directory),
            ("RINGBACK__INGRESS__LISTEN", &*listen),
        ];
        let sentence = error_of("serve", &variables).await;
        assert!(sentence.contains(&directory), "{sentence}");
        assert!(sentence.contains("another process"), "{sentence}");
        // The first process is not affected.
        assert_eq!(gateway.get("/readyz").await.unwrap().0, 200);
    });
}

#[test]
fn a_role_with_the_wrong_kind_of_broker_is_refused() {
    const URL: (&str, &str) = ("RINGBACK__BROKER__URL", "amqp://127.0.0.1:9");
    const DIRECTORY: (&str, &str) = ("RINGBACK__BROKER__DATA_DIR", "/nowhere/ringback");
    on_shared_runtime(async {
        for (role, variables, named) in [
            ("serve", &[] as &[_], "broker.data_dir"),
            ("serve", &[URL], "broker.url"),
            ("serve", &[URL, DIRECTORY], "broker."),
            ("ingress", &[DIRECTORY], "broker.data_dir"),
            ("dispatcher", &[DIRECTORY], "broker.data_dir"),
            ("dev", &[URL, DIRECTORY], "broker."),
        ] {
            let sentence = error_of(role, variables).await;
            let variable = named.to_uppercase().replace('.', "__");
            assert!(
                sentence.contains(named) || sentence.contains(&variable),
                "{role} {variables:?}: {sentence}"
            );
        }
    });
}
