//! The catalogue: every word of the console, in English and Chinese.
//!
//! Sentences that the API makes (what a check found, why a callback waits) are English in both.

use contract::CallbackStatus;

use super::language::PageLanguage;

/// Defines the catalogue: a key, then its text in each language.
macro_rules! texts {
    ($($key:ident $english:literal $chinese:literal;)*) => {
        /// All texts in one language.
        pub(super) struct Texts {
            $(pub(super) $key: &'static str,)*
        }

        static ENGLISH: Texts = Texts { $($key: $english,)* };
        static CHINESE: Texts = Texts { $($key: $chinese,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($key), $english, $chinese),)*];
    };
}

texts! {
    html_lang "en" "zh-CN";
    title "Ringback console" "Ringback 控制台";
    skip "Skip to the content" "跳到正文";
    pages "Pages" "页面";
    overview "Overview" "概览";
    targets "Targets" "目标";
    callbacks "Callbacks" "回调";
    dead_letters "Dead letters" "死信";
    pauses "Pauses" "暂停";
    audit "Audit log" "审计日志";
    other_language "中文" "English";
    sign_in "Sign in" "登录";
    sign_out "Sign out" "退出";
    sign_in_hint "With an operator token: admin.token, or one of admin.tokens." "使用运维令牌登录：admin.token，或 admin.tokens 中的一个。";
    sign_in_lasts "The session ends after 12 hours, or when the token is removed." "会话 12 小时后结束；令牌被删除时立即失效。";
    token "Token" "令牌";
    wrong_token "This token is not known." "令牌不正确。";
    too_many_tokens "Too many wrong tokens from your address. Try again soon." "来自您地址的错误令牌过多，请稍后再试。";
    signed_in_as "Signed in as" "当前用户";
    no_sign_in "This machine only, without a token" "仅限本机，未设置令牌";
    error "This page cannot be shown" "无法显示此页";
    back "Back to the overview" "返回概览";
    all_is_well "All is well" "一切正常";
    something_unknown "Nothing is known to be wrong, but not everything could be checked" "未发现问题，但有些检查无法完成";
    needs_a_look "Somebody should look at this soon" "有情况需要尽快查看";
    something_is_wrong "Something is wrong" "出现故障";
    checked_at "Checked at" "检查时间";
    refreshes "This page refreshes every 10 seconds." "本页每 10 秒刷新一次。";
    next_step "What to do:" "处理办法：";
    all_checks "All checks" "全部检查项";
    check "Check" "检查项";
    result "Result" "结果";
    finding "Finding" "说明";
    severity_ok "ok" "正常";
    severity_unknown "unknown" "未知";
    severity_warning "warning" "警告";
    severity_failure "failure" "故障";
    figures "Figures" "数据";
    accepted_figure "Accepted, last minute" "最近一分钟已接收";
    delivered_figure "Delivered, last 5 minutes" "最近五分钟已送达";
    failing_figure "Failed attempts, last 5 minutes" "最近五分钟失败的尝试";
    waiting_figure "Unfinished" "未完成";
    dead_figure "Dead letters" "死信";
    not_known "not known" "未知";
    instances "Processes" "进程";
    role "Role" "角色";
    machine "Machine" "主机";
    process "Process" "进程号";
    version "Version" "版本";
    since "Since" "启动时间";
    answers "Answers" "是否响应";
    yes "yes" "是";
    no "no" "否";
    clock "Clock ahead by" "时钟偏差";
    target "Target" "目标";
    targets_caption "Targets, worst first" "目标，问题最严重的在前";
    delivered_column "Delivered, 5 min" "送达（5 分钟）";
    rejected_column "Answered with an error, 5 min" "应答错误（5 分钟）";
    failed_column "No answer, 5 min" "未得到应答（5 分钟）";
    last_error "Last error" "最近的错误";
    waits "Unfinished" "未完成";
    oldest "oldest" "最早";
    breaker "Circuit breaker" "熔断器";
    breaker_closed "closed" "关闭";
    breaker_half_open "half open" "半开";
    breaker_open "open" "打开";
    next_probe "next probe in" "下次探测还有";
    retry_after "asked to wait" "对方要求等待";
    paused "paused" "已暂停";
    more_targets "Further targets that are not listed:" "未列出的其他目标：";
    no_targets "No target has been called since the processes started." "进程启动以来尚未调用任何目标。";
    find "Find" "查找";
    find_label "Callback id, or its beginning (8 digits or more)" "回调 ID 或其开头（至少 8 位）";
    filter "Filter" "筛选";
    app "App" "应用";
    callee "Callee" "被回调方";
    message_type "Message type" "消息类型";
    status "Status" "状态";
    any "any" "不限";
    reason "Reason" "原因";
    http_status "HTTP status" "HTTP 状态码";
    since_filter "Accepted since" "接收时间起";
    until_filter "Accepted until" "接收时间止";
    time_hint "For instance 2026-11-23T22:00:00+08:00" "例如 2026-11-23T22:00:00+08:00";
    id "Id" "ID";
    accepted_at "Accepted" "接收时间";
    updated_at "Last change" "最后变化";
    next_attempt "Next attempt" "下次尝试";
    last_cause "Cause of the last failure" "最近一次失败的原因";
    no_callbacks "No callback matches." "没有符合条件的回调。";
    no_dead_letters "No dead letter matches." "没有符合条件的死信。";
    next_page "Next page" "下一页";
    first_page "First page" "第一页";
    newest_first "newest first" "最新的在前";
    callback "Callback" "回调";
    why "What is so, and what comes next" "当前情况与后续";
    details "Details" "详情";
    caller "Caller" "调用方";
    url "URL" "URL";
    generation "Replays" "重放次数";
    replay_number "replay" "重放";
    time_line "Time line, oldest first" "时间线，最早的在前";
    time "Time" "时间";
    event "Event" "事件";
    attempt "Attempt" "尝试";
    duration "Duration" "耗时";
    outcome "Outcome" "结果";
    cause "Cause" "原因";
    earlier_attempts "Earlier attempts that are not shown:" "未显示的更早的尝试：";
    was_accepted "Accepted from the caller" "从调用方接收";
    cancel_requested "A cancellation is requested." "已请求取消。";
    discarded "It is discarded." "已丢弃。";
    payload "Message and answers" "消息与应答";
    payload_hint "Every look is written to the audit log." "每次查看都会写入审计日志。";
    payload_forbidden "This needs a token with the role payload." "需要具有 payload 角色的令牌。";
    look_button "Show the message" "查看消息";
    your_name "Your name" "您的姓名";
    your_reason "Reason" "理由";
    message "Message" "消息";
    no_message "The journal does not keep this message." "日志库中没有保存此消息。";
    target_answers "What the target answered" "目标的应答";
    no_answers "No answer was kept." "没有保存的应答。";
    acts "Acts" "操作";
    act_retry_now "Retry now" "立即重试";
    act_cancel "Cancel" "取消回调";
    act_replay "Replay" "重放";
    act_possible "This can be done now." "现在可以执行。";
    act_impossible "This cannot be done." "无法执行。";
    act_done "Done. It is in the audit log." "已完成，并已写入审计日志。";
    act_pending "Taken. It is published within about a minute." "已受理，约一分钟内发布。";
    act_requested "Requested. An attempt may be in progress; it is cancelled when it has to wait again." "已请求。可能正有一次尝试；再次等待时即被取消。";
    act_forbidden "Acts need a token with the role replay." "操作需要具有 replay 角色的令牌。";
    back_to_callback "Back to the callback" "返回该回调";
    pauses_caption "Pauses in force, oldest first" "生效中的暂停，最早的在前";
    no_pauses "Nothing is paused." "没有生效中的暂停。";
    pause "Pause" "暂停";
    resume "Resume" "恢复";
    resume_hint "Ends this pause. What waits is then released at the target's rate." "结束此暂停。等待中的回调将按目标的速率释放。";
    pause_hint "What is paused waits; no attempt is spent. A switch stops all intake or all deliveries." "暂停期间回调等待，不消耗尝试次数。开关会停止全部接收或全部投递。";
    pauses_forbidden "To pause and resume, a token with the role configure is needed." "暂停与恢复需要具有 configure 角色的令牌。";
    paused_since "Since" "开始时间";
    kind "Kind" "类型";
    name "Name" "名称";
    intake "Intake (switch)" "接收（开关）";
    deliveries "Deliveries (switch)" "投递（开关）";
    who "Who" "操作人";
    action "Action" "操作";
    subject "To what" "对象";
    count "Count" "数量";
    no_audit "Nobody has acted yet." "尚无操作记录。";
    status_queued "queued" "排队中";
    status_delivering "delivering" "投递中";
    status_delivered "delivered" "已送达";
    status_retrying "retrying" "等待重试";
    status_dead "dead" "死信";
    status_expired "expired" "已过期";
    status_cancelled "cancelled" "已取消";
    status_unaccounted "unaccounted" "下落不明";
    due "due" "已到期";
    now "now" "刚刚";
    ago " ago" "前";
    from_now " from now" "后";
    seconds " s" " 秒";
    minutes " min" " 分钟";
    hours " h" " 小时";
    days " d" " 天";
}

impl Texts {
    pub(super) const fn of(language: PageLanguage) -> &'static Self {
        match language {
            PageLanguage::English => &ENGLISH,
            PageLanguage::Chinese => &CHINESE,
        }
    }

    pub(super) const fn status_word(&self, status: CallbackStatus) -> &'static str {
        match status {
            CallbackStatus::Queued => self.status_queued,
            CallbackStatus::Delivering => self.status_delivering,
            CallbackStatus::Delivered => self.status_delivered,
            CallbackStatus::Retrying => self.status_retrying,
            CallbackStatus::Dead => self.status_dead,
            CallbackStatus::Expired => self.status_expired,
            CallbackStatus::Cancelled => self.status_cancelled,
            CallbackStatus::Unaccounted => self.status_unaccounted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in both languages.
    const SAME: [&str; 1] = ["url"];

    #[test]
    fn both_languages_are_complete() {
        let is_chinese = |text: &str| {
            text.chars()
                .any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char))
        };
        for (key, english, chinese) in ALL {
            assert!(
                !english.trim().is_empty() && !chinese.trim().is_empty(),
                "{key}"
            );
            match *key {
                "html_lang" => assert_eq!((*english, *chinese), ("en", "zh-CN")),
                // The name of the other language, in that language.
                "other_language" => assert!(is_chinese(english) && !is_chinese(chinese)),
                "id" => assert_eq!(*chinese, "ID"),
                key if SAME.contains(&key) => assert_eq!(english, chinese),
                _ => {
                    assert!(english.is_ascii(), "{key}: {english}");
                    assert!(is_chinese(chinese), "{key}: {chinese}");
                }
            }
        }
    }
}
