//! Invalid request bodies, and the message for each.

use bytes::Bytes;
use serde_json::{Value, json};
use tests::callback;

/// A request that is answered 400, with the expected message.
pub(super) struct InvalidRequest {
    pub(super) body: Bytes,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) msg: String,
}

const URL: &str = "http://127.0.0.1:9/";

fn invalid(body: impl Into<Bytes>, msg: impl Into<String>) -> InvalidRequest {
    InvalidRequest {
        body: body.into(),
        headers: vec![("content-type", "application/json")],
        msg: msg.into(),
    }
}

/// All requests with an invalid body.
pub(super) fn all() -> Vec<InvalidRequest> {
    let mut all = missing();
    all.extend(malformed_fields());
    all.extend(refused_urls());
    all.extend(unreadable_bodies());
    all
}

/// In the order of the contract's table: each is named although all after it are invalid as well.
fn missing() -> Vec<InvalidRequest> {
    [
        (r#"{}"#.to_owned(), "callback_url或callee_no"),
        (
            r#"{"request_message":7,"options":7}"#.to_owned(),
            "callback_url或callee_no",
        ),
        (
            r#"{"callback_url":null,"callee_no":" 　"}"#.to_owned(),
            "callback_url或callee_no",
        ),
        (format!(r#"{{"callback_url":"{URL}"}}"#), "app_id"),
        (r#"{"callee_no":"EO001"}"#.to_owned(), "app_id"),
        (r#"{"callee_no":7,"app_id":null}"#.to_owned(), "app_id"),
        (r#"{"callee_no":"EO001","app_id":" "}"#.to_owned(), "app_id"),
        (
            r#"{"callee_no":"EO001","app_id":"a"}"#.to_owned(),
            "message_type",
        ),
        (
            r#"{"callee_no":"EO001","app_id":"a","message_type":""}"#.to_owned(),
            "message_type",
        ),
        (
            r#"{"request_message":{},"message_type":null,"app_id":"a","callee_no":"EO001"}"#
                .to_owned(),
            "message_type",
        ),
        (
            r#"{"callee_no":"EO001","app_id":"a","message_type":"t"}"#.to_owned(),
            "request_message",
        ),
        (
            r#"{"callee_no":"EO001","app_id":"a","message_type":"t","request_message":null}"#
                .to_owned(),
            "request_message",
        ),
        (
            r#"{"callee_no":"EO001","app_id":"a","message_type":"t","request_message":""}"#
                .to_owned(),
            "request_message",
        ),
    ]
    .map(|(body, name)| invalid(body, format!("参数{name}不能为空")))
    .into()
}

/// A valid callback with one field changed.
fn with(field: &str, value: Value) -> Value {
    let mut callback = callback(URL);
    match field.strip_prefix("options.") {
        Some(option) => callback["options"][option] = value,
        None => callback[field] = value,
    }
    callback
}

fn malformed_fields() -> Vec<InvalidRequest> {
    let mut by_number = callback(URL);
    by_number.as_object_mut().unwrap().remove("callback_url");
    let calling = |no: &str| {
        let mut callback = by_number.clone();
        callback["callee_no"] = json!(no);
        invalid(callback.to_string(), "")
    };
    let mut all: Vec<InvalidRequest> = [
        ("callback_url", json!(7), "必须是字符串"),
        ("callee_no", json!({}), "必须是字符串"),
        ("app_id", json!(7), "必须是字符串"),
        ("caller_no", json!([]), "必须是字符串"),
        ("message_type", json!(true), "必须是字符串"),
        ("request_message", json!([]), "必须是JSON对象"),
        ("request_message", json!("{}"), "必须是JSON对象"),
        ("request_message", json!(0), "必须是JSON对象"),
        ("options", json!([]), "必须是JSON对象"),
        ("app_id", json!("a".repeat(129)), "长度不能超过128字节"),
        ("caller_no", json!("文".repeat(43)), "长度不能超过128字节"),
        ("callee_no", json!("e".repeat(129)), "长度不能超过128字节"),
        (
            "message_type",
            json!("t".repeat(129)),
            "长度不能超过128字节",
        ),
        ("app_id", json!("a\nb"), "不能包含控制字符"),
        ("options.delay_seconds", json!("1"), "必须是整数"),
        ("options.delay_seconds", json!(1.0), "必须是整数"),
        ("options.delay_seconds", json!(-1), "必须在0到604800之间"),
        (
            "options.delay_seconds",
            json!(604_801),
            "必须在0到604800之间",
        ),
        ("options.expire_seconds", json!(0), "必须在1到604800之间"),
        ("options.max_attempts", json!(0), "必须在1到20之间"),
        ("options.max_attempts", json!(21), "必须在1到20之间"),
        ("options.timeout_seconds", json!(61), "必须在1到60之间"),
        ("options.headers", json!([]), "必须是JSON对象"),
        (
            "options.headers",
            json!({"Host": "a"}),
            "不允许设置请求头Host",
        ),
        (
            "options.headers",
            json!({"content-type": "a"}),
            "不允许设置请求头content-type",
        ),
        (
            "options.headers",
            json!({"webhook-id": "a"}),
            "不允许设置请求头webhook-id",
        ),
        (
            "options.headers",
            json!({"X-Callback-Attempt": "a"}),
            "不允许设置请求头X-Callback-Attempt",
        ),
        (
            "options.headers",
            json!({"transfer-encoding": "a"}),
            "不允许设置请求头transfer-encoding",
        ),
        ("options.headers", json!({"a b": "a"}), "请求头名称a b无效"),
        (
            "options.headers",
            json!({"x-a": "a\r\nx-b: c"}),
            "请求头x-a的值必须是不含控制字符的字符串",
        ),
        (
            "options.headers",
            json!({"x-a": "a", "X-A": "b"}),
            "重复出现",
        ),
    ]
    .into_iter()
    .map(|(field, value, reason)| {
        let msg = format!("参数{field}格式错误: {reason}");
        invalid(with(field, value).to_string(), msg)
    })
    .collect();
    let unknown = "参数callee_no格式错误: 该被回调方编号未登记";
    let no_url = "参数callee_no格式错误: 该被回调方未配置回调地址";
    for (no, msg) in [("EO999", unknown), ("EO001", no_url)] {
        let msg = msg.to_owned();
        all.push(InvalidRequest { msg, ..calling(no) });
    }
    all
}

/// The gateway of these tests allows 127.0.0.0/8.
fn refused_urls() -> Vec<InvalidRequest> {
    let too_long = format!("http://127.0.0.1/{}", "a".repeat(2048));
    [
        ("/relative", "不是有效的绝对URL"),
        ("callback", "不是有效的绝对URL"),
        ("ftp://127.0.0.1/", "URL协议必须是http或https"),
        ("file:///etc/passwd", "URL协议必须是http或https"),
        ("http://user:word@127.0.0.1/", "URL不能包含用户名或密码"),
        ("http://127.0.0.1:0/", "URL端口无效"),
        ("http://127.0.0.1/\r\nx", "URL不能包含控制字符"),
        (&too_long, "URL长度不能超过2048字节"),
        ("http://10.0.0.1/", "不允许访问该地址（private）"),
        ("http://167772161/", "不允许访问该地址（private）"),
        (
            "http://[::ffff:192.168.0.1]:8080/",
            "不允许访问该地址（private）",
        ),
        (
            "http://169.254.169.254/latest/meta-data/",
            "不允许访问该地址（metadata）",
        ),
        ("http://[::1]/", "不允许访问该地址（loopback）"),
        ("http://100.64.0.1/", "不允许访问该地址（shared_address）"),
        ("http://0.0.0.0/", "不允许访问该地址（unspecified）"),
    ]
    .map(|(url, reason)| {
        let msg = format!("参数callback_url格式错误: {reason}");
        invalid(callback(url).to_string(), msg)
    })
    .into()
}

fn unreadable_bodies() -> Vec<InvalidRequest> {
    let good = callback(URL).to_string();
    let twice = good.replacen('{', r#"{"app_id":"first","#, 1);
    let twice_in_options = with("options", json!({"delay_seconds": 1})).to_string();
    let twice_in_options = twice_in_options.replace(
        r#""delay_seconds":1"#,
        r#""delay_seconds":1,"delay_seconds":1"#,
    );
    let deep = good.replace(
        r#"{"field1":1}"#,
        &format!(r#"{{"a":{}{}}}"#, "[".repeat(63), "]".repeat(63)),
    );
    let mut not_utf8 = good.clone().into_bytes();
    let place = not_utf8.windows(5).position(|five| five == b"order");
    not_utf8[place.unwrap()] = 0xff;
    let behind = good.len() + 1;
    let behind = format!("参数body格式错误: 第1行第{behind}列附近不是有效的JSON");
    vec![
        invalid(twice, "参数app_id格式错误: 重复出现"),
        invalid(
            twice_in_options,
            "参数options.delay_seconds格式错误: 重复出现",
        ),
        invalid(deep, "参数body格式错误: JSON嵌套不能超过64层"),
        invalid(not_utf8, "参数body格式错误: 不是有效的UTF-8编码"),
        invalid("", "参数body不能为空"),
        invalid(" \r\n", "参数body不能为空"),
        invalid(
            format!("\u{FEFF}{good}"),
            "参数body格式错误: 以字节顺序标记（BOM）开头，请去掉后重新发送",
        ),
        invalid("{}x", "参数body格式错误: 第1行第3列附近不是有效的JSON"),
        invalid(
            "{\n \"app_id\": 01}",
            "参数body格式错误: 第2行第13列附近不是有效的JSON",
        ),
        invalid("[]", "参数body格式错误: 必须是JSON对象"),
        invalid("null", "参数body格式错误: 必须是JSON对象"),
        invalid(format!("{good}{{}}"), behind),
    ]
}
