//! The `curl` command that repeats a callback by hand: with placeholders where a secret or the message would
//! stand.

use std::fmt::Write as _;

use crate::api::view::CallbackView;

/// The command. The caller's further headers and the callee's configured ones are not in it.
pub(super) fn command(view: &CallbackView) -> String {
    let url = match (&view.callback_url, &view.callee_no) {
        (Some(url), _) => url.clone(),
        (None, Some(no)) => format!("<the URL of {no}>"),
        (None, None) => "<the URL>".to_owned(),
    };
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", view.request_id.to_string()),
        ("webhook-timestamp", "<seconds since 1970>".to_owned()),
        ("webhook-signature", "<v1,signature>".to_owned()),
        ("x-callback-app-id", encoded(&view.app_id)),
        ("x-callback-message-type", encoded(&view.message_type)),
    ];
    let optional = [
        ("x-callback-caller-no", &view.caller_no),
        ("x-callback-callee-no", &view.callee_no),
    ];
    for (name, value) in optional {
        headers.extend(value.as_ref().map(|value| (name, encoded(value))));
    }
    // A URL may have brackets and braces, which curl would take for a pattern of several.
    let mut command = format!("curl --globoff --request POST {}", quoted(&url));
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = write!(
            command,
            " \\\n  --header {}",
            quoted(&format!("{name}: {value}"))
        );
    }
    command.push_str(" \\\n  --data-binary @request_message.json");
    command
}

/// As the target gets it: everything outside of visible ASCII, and `%`, is percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x21..=0x7e if byte != b'%' => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::callback_view;

    fn view() -> CallbackView {
        CallbackView {
            callback_url: Some("https://h.example/x?token=***".to_owned()),
            app_id: "app's 1%".to_owned(),
            message_type: "乐".to_owned(),
            caller_no: None,
            callee_no: None,
            ..callback_view()
        }
    }

    #[test]
    fn the_command_has_what_the_target_gets_and_placeholders_for_secrets() {
        let expected = r"curl --globoff --request POST 'https://h.example/x?token=***' \
  --header 'content-type: application/json' \
  --header 'webhook-id: 00000000-0000-0000-0000-000000000007' \
  --header 'webhook-timestamp: <seconds since 1970>' \
  --header 'webhook-signature: <v1,signature>' \
  --header 'x-callback-app-id: app'\''s%201%25' \
  --header 'x-callback-message-type: %E4%B9%90' \
  --data-binary @request_message.json";
        assert_eq!(command(&view()), expected);
        let of_callee = command(&CallbackView {
            callback_url: None,
            callee_no: Some("EO001".to_owned()),
            ..view()
        });
        assert!(
            of_callee.contains("POST '<the URL of EO001>'")
                && of_callee.contains("'x-callback-callee-no: EO001'"),
            "{of_callee}"
        );
    }

    #[test]
    fn nothing_a_stranger_wrote_leaves_its_quotes() {
        let hostile = "';rm -rf ~;'\n$(id)`id`";
        let command = command(&CallbackView {
            callback_url: Some(format!("https://h.example/{hostile}")),
            app_id: hostile.to_owned(),
            message_type: hostile.to_owned(),
            caller_no: Some(hostile.to_owned()),
            callee_no: Some(hostile.to_owned()),
            ..callback_view()
        });
        // What is left of the words when the quoted parts are taken away.
        let whole = command.replace(r"'\''", "");
        let bare: String = whole.split('\'').step_by(2).collect();
        assert!(!bare.contains(['$', '`', ';']), "{bare}");
    }
}
