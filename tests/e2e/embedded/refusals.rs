//! Is a process that cannot have the store, or must not, refused with one sentence?

use tests::{Process, Site, together};

use super::SOON;
use tests::ports::free_port;

/// What `ringback ROLE` complains of with these variables; it must not start.
async fn complaint(role: &str, variables: &[(&str, &str)]) -> String {
    let mut process = Process::ringback(&[role], variables.iter().copied());
    let ended = process.wait_exit(SOON).await;
    let said = process.log();
    assert!(!ended.success(), "{role} {variables:?}: {said}");
    let sentences: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(sentences.len(), 1, "{role} {variables:?}: {said}");
    sentences[0].to_owned()
}

#[test]
fn a_second_process_on_a_directory_is_refused_by_its_name() {
    together(async {
        let site = Site::start(&[]).await;
        let listen = format!("127.0.0.1:{}", free_port());
        let directory = site.directory().display().to_string();
        let variables = [
            ("RINGBACK__BROKER__DATA_DIR", &*directory),
            ("RINGBACK__INGRESS__LISTEN", &*listen),
        ];
        let sentence = complaint("serve", &variables).await;
        assert!(sentence.contains(&directory), "{sentence}");
        assert!(sentence.contains("another process"), "{sentence}");
        // The first one does not mind.
        assert_eq!(site.get("/readyz").await.unwrap().0, 200);
    });
}

#[test]
fn a_role_without_its_own_kind_of_broker_is_refused_by_the_key() {
    const URL: (&str, &str) = ("RINGBACK__BROKER__URL", "amqp://127.0.0.1:9");
    const DIRECTORY: (&str, &str) = ("RINGBACK__BROKER__DATA_DIR", "/nowhere/ringback");
    together(async {
        for (role, variables, named) in [
            ("serve", &[] as &[_], "broker.data_dir"),
            ("serve", &[URL], "broker.url"),
            ("serve", &[URL, DIRECTORY], "broker."),
            ("ingress", &[DIRECTORY], "broker.data_dir"),
            ("dispatcher", &[DIRECTORY], "broker.data_dir"),
            ("dev", &[URL, DIRECTORY], "broker."),
        ] {
            let sentence = complaint(role, variables).await;
            let variable = named.to_uppercase().replace('.', "__");
            assert!(
                sentence.contains(named) || sentence.contains(&variable),
                "{role} {variables:?}: {sentence}"
            );
        }
    });
}
