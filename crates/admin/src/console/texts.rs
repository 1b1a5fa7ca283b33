//! The catalogue: every word of the console, in English and Chinese.
//!
//! Sentences of the API, of checks and of explanations are in both languages where they are made.

use contract::CallbackStatus;
use journal::WaitKind;

use super::language::PageLanguage;
use super::stored;
use crate::api::operations::OperationAct;
use crate::doctor::said::{Said, Spoken as _};

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
    accepted_figure "Accepted, last 5 minutes" "最近五分钟已接收";
    delivered_figure "Delivered, last 5 minutes" "最近五分钟已送达";
    failing_figure "Failed attempts, last 5 minutes" "最近五分钟失败的尝试";
    waiting_figure "Unfinished" "未完成";
    dead_figure "Dead letters" "死信";
    not_known "not known" "未知";
    accepted_chart "Accepted" "已接收";
    delivered_chart "Delivered" "已送达";
    failed_chart "Failed attempts" "失败的尝试";
    deferred_chart "Deferrals" "推迟次数";
    dead_chart "Given up" "转为死信";
    each_minute "each minute of the last hour" "最近一小时每分钟";
    hour_sum "in the last hour:" "最近一小时共：";
    minute_max "most in a minute:" "单分钟最多：";
    finding_since "Since" "自";
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
    live "Live" "实时";
    live_runs "Attempts appear as they end, at most 200 a second." "尝试结束后即显示，每秒最多 200 条。";
    live_paused "Paused. What is below stays as it is." "已暂停，下面的内容保持不变。";
    live_pause "Pause the display" "暂停显示";
    live_resume "Go on" "继续";
    live_failed "all that did not deliver" "所有未送达的";
    live_none "No attempt that matches the filter has ended since you began to watch." "开始查看后，还没有符合筛选条件的尝试结束。";
    live_hint "While somebody watches, processes remember the attempts of the last half minute. All others are on the pages of their callbacks." "仅当有人查看时，各进程才保留最近半分钟的尝试。其他尝试请在各回调的页面查看。";
    live_next "What follows" "后续";
    live_dropped "Attempts that are not shown, because there were more than 200 a second:" "因每秒超过 200 条而未显示的尝试：";
    live_left_out "There are more attempts than can be shown: some may be missing. A filter shows fewer." "尝试过多，可能有一部分未显示。请用筛选条件缩小范围。";
    live_session_ended "The session has ended. Sign in again." "会话已结束，请重新登录。";
    live_full "Too many operators watch at this process. Load the page again later." "查看此进程的运维人员过多，请稍后重新加载页面。";
    was_deferred "deferred" "已推迟";
    not_refreshed "This page could not be refreshed since" "本页未能刷新，上次成功：";
    times_local "Times: local" "时间：浏览器时区";
    times_utc "Times: UTC" "时间：UTC";
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
    breaker_of_apps "for these apps alone:" "仅涉及应用：";
    other_apps "others, at least:" "其他应用至少：";
    next_probe "next probe in" "下次探测还有";
    retry_after "asked to wait" "对方要求等待";
    paused "paused" "已暂停";
    more_targets "Further targets that are not listed:" "未列出的其他目标：";
    no_targets "No target has been called since the processes started." "进程启动以来尚未调用任何目标。";
    find "Find" "查找";
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
    why "Where it stands, and what comes next" "当前情况与后续";
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
    payload_forbidden "This needs the role payload." "需要 payload 角色。";
    look_button "Show the message" "查看消息";
    your_name "Your name" "您的姓名";
    your_reason "Reason" "理由";
    message "Message" "消息";
    no_message "The journal does not keep this message." "回调记录库中没有保存此消息。";
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
    act_forbidden "Acts need the role replay." "操作需要 replay 角色。";
    back_to_callback "Back to the callback" "返回该回调";
    pauses_caption "Pauses in force, oldest first" "生效中的暂停，最早的在前";
    no_pauses "Nothing is paused." "没有生效中的暂停。";
    pause "Pause" "暂停";
    resume "Resume" "恢复";
    resume_hint "Ends this pause. What waits is then released at the target's rate." "结束此暂停。等待中的回调将按目标的速率释放。";
    pause_hint "What is paused waits; no attempt is spent. A switch stops all intake or all deliveries." "暂停期间回调等待，不消耗尝试次数。开关会停止全部接收或全部投递。";
    pauses_forbidden "To pause and resume, the role configure is needed." "暂停与恢复需要 configure 角色。";
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
    apps "Apps" "应用";
    waiting "Waiting" "等待中";
    operations "Bulk acts" "批量操作";
    settings "Settings" "设置";
    act_discard "Discard" "丢弃";
    act_expedite "They are back: retry all that waits now" "对方已恢复：立即重试全部等待中的回调";
    cancel_waiting "Cancel all that waits" "取消全部等待中的回调";
    accepted "Accepted" "接收";
    act_replay_dead "Replay dead letters" "重放死信";
    wait_due "due" "已到期";
    wait_delayed "delayed by its caller" "调用方要求延迟";
    wait_retrying "retry after a failure" "失败后等待重试";
    deferred_because "deferred:" "已推迟：";
    due_after_deferral "due again, was deferred:" "再次到期，此前被推迟：";
    waits_for_unknown "nothing recorded yet: next in line, or just deferred" "尚无记录：即将处理，或刚刚被推迟";
    wait_deferred "deferred" "推迟";
    no_attempt "no attempt is recorded" "没有尝试记录";
    and_other_causes "other causes:" "其他原因数：";
    delivered "Delivered" "送达";
    failed_attempts "Failed attempts" "失败的尝试";
    deferred "Deferred" "推迟";
    hour "Hour" "小时";
    day "The last 24 hours" "最近 24 小时";
    chart_text "Bars for each hour: what was accepted, and beside it what was delivered, what failed and what died. The largest number:" "每小时的柱形：左为接收，右为送达、失败与死信。最大值：";
    figures_per_hour "Figures per hour" "每小时数据";
    nothing_happened "Nothing happened." "没有任何活动。";
    oldest_accepted "Oldest accepted" "最早接收";
    in_flight "Attempts in flight" "进行中的尝试";
    not_called "No process has called it since it started." "各进程启动以来尚未调用过它。";
    what_waits "What waits, and for what" "等待中的回调及原因";
    waits_by_target "What waits, by target" "按目标统计等待中的回调";
    nothing_waits "Nothing waits." "没有等待中的回调。";
    waits_hint "The list of what is retried has all of the same status, also what is due or deferred: acts are offered for what is delayed by its caller, and for what is deferred, by its reason." "“等待重试”的列表包含相同状态的全部回调，其中也有已到期和被推迟的；因此只对调用方要求延迟的，以及按原因对被推迟的回调提供操作。";
    errors_by_cause "Errors of what waits or has died, by the last attempt" "等待中与死信回调的错误，按最近一次尝试分组";
    errors_hint "Each callback counts once, by its last attempt." "每个回调按其最近一次尝试计一次。";
    no_errors "No attempt of what waits or has died has failed." "等待中与死信回调没有失败的尝试。";
    last_attempt "Last attempt" "最近一次尝试";
    none_found_yet "None found so far." "目前没有找到。";
    looked_since_before "Looked at what was accepted since" "只查找了";
    looked_since_after ", and at nothing older." " 以来接收的回调，更早的尚未查找。";
    look_further "Look further back" "继续查找更早的";
    counted_since_before "Counted is what was accepted since" "只统计了";
    counted_since_after ", and nothing older." " 以来接收的回调，更早的未计入。";
    counted_until_before "Counted is what was accepted until" "只统计了";
    counted_until_after ", and nothing newer." " 及以前接收的回调，更晚的未计入。";
    count_further "Count further" "扩大统计范围";
    group_by "Group by" "分组方式";
    hour_of_death "Hour of death" "成为死信的小时";
    only_those "Only:" "仅限：";
    all_of_them "all" "全部";
    all_shown "All of these:" "对以上全部：";
    as_a_list "as a list" "查看列表";
    grouped "Grouped" "分组查看";
    unreadable "Unreadable messages" "无法解析的消息";
    which "Which:" "范围：";
    dry_run "Nothing has been done yet. This would act on" "尚未执行任何操作。可操作的数量：";
    not_touched "Not touched:" "不受影响：";
    pace "Pace, per second" "速率（每秒）";
    pace_column "Pace" "速率";
    paces "The pace of the targets, the slowest first" "各目标的速率，最慢的在前";
    count_again "Count again" "重新统计";
    takes "Takes" "预计耗时";
    takes_unknown "How long it takes is not known: the pace of a target is not." "无法预计耗时：有目标的速率未知。";
    done_by "done by" "完成时间";
    begin_hint "It begins at once and can be stopped. Callbacks that change after the count are left alone." "将立即开始，可随时停止。统计之后发生变化的回调不受影响。";
    final_hint "It cannot be undone." "此操作不可撤销。";
    sample "The newest of them" "其中最新的";
    operation_running "running" "进行中";
    operation_done "done" "已完成";
    operation_stopped "stopped" "已停止";
    operation_failed "failed" "失败";
    operation_revoked "stopped: its operator's token was removed" "已停止：操作人的令牌已删除";
    the_running_one "The one that runs" "正在进行的操作";
    stop_name "Your name (may be left out)" "您的姓名（可不填）";
    stop_reason "Reason (may be left out)" "理由（可不填）";
    no_operations "This process has not worked on many callbacks since it started." "此进程启动以来没有批量操作。";
    operations_hint "The page has those of one process; the audit log has all. This process:" "本页只显示一个进程的操作，审计日志包含全部。当前进程：";
    operation_hint "It ends with its process; the same act, begun again, does the rest. The audit log counts each step. This process:" "操作随进程结束而结束；重新执行同一操作即可继续。审计日志记录每一步。当前进程：";
    done_of_all "Done" "已处理";
    started "Started" "开始时间";
    ended "Ended" "结束时间";
    progress "Progress" "进度";
    left "Left:" "剩余：";
    changed "Changed" "已更改";
    pending "Taken, published within about a minute" "已受理，约一分钟内发布";
    requested "Cancellation requested" "已请求取消";
    stop "Stop" "停止";
    stop_hint "It stops after the step that is being done. What is done stays done. The audit log says who stopped it." "将在当前步骤完成后停止。已完成的部分不会撤销。停止者会写入审计日志。";
    further_conditions "Further conditions:" "其他条件：";
    without_them "without them" "去除这些条件";
    all_of_list "Everything in this list:" "对本列表全部：";
    search_label "Search" "搜索";
    search_hint "For instance app:crm status:dead http:503 since:2h, or an id or its beginning. Put a value with spaces in quotation marks." "例如 app:crm status:dead http:503 since:2h，也可输入 ID 或其开头。含空格的值请加引号。";
    search_words "Words that are known" "可用的条件";
    search_empty "There is nothing to search for." "没有输入搜索条件。";
    search_word "This is neither an id nor a condition:" "这既不是 ID 也不是条件：";
    search_key "This word is not known:" "未知的条件：";
    search_no_value "This needs a value:" "缺少值：";
    search_twice "This is there twice:" "重复的条件：";
    search_quote "A quotation mark has no second one." "引号不成对。";
    search_id_alone "An id stands alone." "ID 不能与其他条件一起使用。";
    search_value "This is not understood:" "无法理解：";
    search_known "Known:" "可用的值：";
    matches "Several ids begin with" "多个 ID 的开头为";
    more_matches "There are more. Write more digits." "还有更多，请输入更多位。";
    no_unreadable "No message is unreadable." "没有无法解析的消息。";
    unreadable_waiting "So many wait, at least:" "数量（至少）：";
    unreadable_hint "Messages that a newer version wrote can be put back after an upgrade. What is discarded is gone." "由更新版本写入的消息可在升级后放回队列。丢弃后无法恢复。";
    oldest_first "oldest first" "最早的在前";
    quarantined "Quarantined" "隔离时间";
    from_queue "Queue" "队列";
    bytes "Bytes" "字节数";
    readable_now "Readable now" "现在可解析";
    requeue "Put back into its queue" "放回队列";
    no_apps "No app has sent anything since the processes started, and nothing of any waits." "进程启动以来没有应用发送请求，也没有等待中的回调。";
    apps_caption "Apps, those with the most requests first" "应用，请求最多的在前";
    accepted_minute "Accepted, last minute" "接收（最近一分钟）";
    refused_minute "Refused, last minute" "拒绝（最近一分钟）";
    limited_minute "Limited (429), last minute" "限流（429，最近一分钟）";
    with_a_time "Of these, with a next attempt due" "其中已排定下次尝试";
    more_apps "There are more apps: these have the most requests." "还有更多应用，此处仅列出请求最多的。";
    last_reload "Last reload" "最近一次重新加载";
    needs_restart "Needs a restart" "需要重启";
    differs "Differs from the others" "与其他进程不同";
    no_reload "none since the start" "启动以来没有";
    in_force "In force:" "生效的设置：";
    settings_hint "Secrets are masked, or shown as the file or variable that holds them. A changed key that needs a restart is in force only after it." "密钥已隐去，或显示为其所在的文件或变量。需要重启的设置在重启后才生效。";
    settings_cut "The rest is left out: `ringback config` prints all." "其余部分已省略，`ringback config` 可输出全部设置。";
    where_set "Where they are set" "设置来源";
    all_defaults "All have their defaults." "全部为默认值。";
    setting "Setting" "设置项";
    set_by "Set by" "来源";
    further_origins "Further keys that are not listed:" "未列出的其他设置项：";
    origins_hint "All others have their defaults." "其余均为默认值。";
    schedule "Retry schedule: what if" "重试计划试算";
    schedule_in_force "In force (retry.schedule):" "生效的重试计划（retry.schedule）：";
    schedule_waits "Waits, separated by commas" "等待时间，以逗号分隔";
    schedule_show "Show the times" "显示时间";
    schedule_hint "If every attempt fails, and as if attempts took no time. Nothing is changed here." "假设每次尝试都失败，且不计尝试本身的耗时。此处不会更改任何设置。";
    wait_before "Wait before" "等待时间";
    from_first "From the first, at the earliest" "距首次尝试（最早）";
    at_most "At the latest, by jitter" "最晚（含抖动）";
    before "before" "早于";
    replayed "Replayed" "已重放";
    trace "Trace" "链路 ID";
    by_hand "Repeat it by hand (curl)" "手动重发（curl）";
    by_hand_hint "Fill in the parts in angle brackets; the message goes into the file. Further headers of the caller or the callee are not in it. The journal does not record this request." "请填写尖括号中的内容，并将消息存入该文件。不含调用方或被回调方的其他请求头。回调记录库不会记录此次请求。";
    largest_groups "The largest groups only:" "仅列出最大的若干组：";
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

    /// The sentence in this language.
    pub(super) fn say(&self, said: &Said) -> String {
        match self.language() {
            PageLanguage::English => said.english(),
            PageLanguage::Chinese => said.chinese(),
        }
    }

    /// The language of these texts.
    pub(super) const fn language(&self) -> PageLanguage {
        match self.html_lang.as_bytes() {
            b"en" => PageLanguage::English,
            _ => PageLanguage::Chinese,
        }
    }

    /// Words that are stored in English.
    pub(super) fn stored(&self, english: &str) -> String {
        stored::words(english, self.language())
    }

    /// Why something was done: what people wrote stays as it is.
    pub(super) fn reason(&self, written: &str) -> String {
        stored::reason(written, self.language())
    }

    /// Which callbacks, or what else, in the words of the audit log.
    pub(super) fn subject(&self, english: &str) -> String {
        // `retry-now: all that waits`: the act that was stopped, and on what.
        let stopped = english.split_once(": ").and_then(|(name, on)| {
            let mut all = OperationAct::ALL.into_iter();
            Some((all.find(|act| act.as_str() == name)?, on))
        });
        match (stopped, self.language()) {
            (Some((act, on)), PageLanguage::Chinese) => {
                format!(
                    "{}：{}",
                    self.act_word(act),
                    stored::subject(on, PageLanguage::Chinese)
                )
            }
            (_, language) => stored::subject(english, language),
        }
    }

    /// What was done, by its name in the audit log.
    pub(super) fn action(&self, name: &str) -> String {
        stored::action(name, self.language())
    }

    /// Each of these sentences.
    pub(super) fn say_all(&self, all: &[Said]) -> Vec<String> {
        all.iter().map(|said| self.say(said)).collect()
    }

    pub(super) const fn act_word(&self, act: OperationAct) -> &'static str {
        match act {
            OperationAct::ReplayDead => self.act_replay_dead,
            OperationAct::Discard => self.act_discard,
            OperationAct::RetryNow => self.act_retry_now,
            OperationAct::Cancel => self.act_cancel,
            OperationAct::Replay => self.act_replay,
            OperationAct::Expedite => self.act_expedite,
        }
    }

    pub(super) const fn wait_word(&self, kind: WaitKind) -> &'static str {
        match kind {
            WaitKind::Due => self.wait_due,
            WaitKind::Delayed => self.wait_delayed,
            WaitKind::Retrying => self.wait_retrying,
            WaitKind::Deferred => self.wait_deferred,
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

    #[test]
    fn the_subject_of_a_stop_names_the_act() {
        let stopped = "retry-now: all that waits";
        assert_eq!(CHINESE.subject(stopped), "立即重试：全部等待中的回调");
        assert_eq!(ENGLISH.subject(stopped), stopped);
    }

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
