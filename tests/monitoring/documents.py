"""What the documents say: metrics and alerts in docs/reference/metrics.md, sections of the runbooks."""

import re
from pathlib import Path

METRICS = Path("docs/reference/metrics.md")
RUNBOOK = Path("docs/runbook.md")
RUNBOOK_ZH = Path("docs/runbook.zh-CN.md")

# A database in docs/guides/backup.md.
NO_METRICS = {"ringback_restored"}
# The sections that alerts link to, and the same section of the Chinese runbook.
SECTIONS = {
    "a-certificate-expires": "证书即将到期",
    "a-dispatcher-crashes-again-and-again": "dispatcher-反复崩溃",
    "callbacks-are-late": "回调延迟",
    "callbacks-that-never-end-in-the-journal": "记录库中一直没有结束的回调",
    "callers-are-slowed-down": "受理变慢",
    "clocks": "系统时钟",
    "connections-or-credentials-are-refused": "拒绝连接或认证失败",
    "dead-letters": "死信",
    "is-every-process-there": "检查各进程是否正常",
    "memory-or-disk-alarm": "内存或磁盘告警",
    "names-do-not-resolve": "域名无法解析",
    "no-dispatcher-consumes": "没有-dispatcher-消费",
    "one-bad-target": "某个目标异常",
    "one-queue-is-at-fault": "单个队列故障",
    "pause-and-resume": "暂停与恢复",
    "records-cannot-be-published": "回调记录无法发布",
    "reload-settings": "重新加载配置",
    "stop-intake-or-deliveries": "停止接收或停止投递",
    "the-broker-is-unreachable": "连不上-rabbitmq",
    "the-intake-is-closed": "停止受理",
    "the-journal-is-unreachable": "连不上回调记录库",
    "the-journal-takes-no-writes": "回调记录库无法写入",
    "unreadable-messages": "无法解析的消息",
}


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def rows(text):
    """The cells of each row of the tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def metric_labels(text):
    """The metrics in the tables before the section Alerts: name -> labels."""
    found = {}
    for cells in rows(text.split("\n## Alerts")[0]):
        for name in re.findall(r"`((?:ringback|process)_\w+)`", cells[0]):
            found[name] = set(re.findall(r"`(\w+)`", cells[1]))
    return found


def alerts(text):
    """The table in the section Alerts: (name, severity, for, anchor) of each row."""
    found = []
    for cells in rows(text.split("\n## Alerts")[1].split("\n## ")[0]):
        name = re.fullmatch(r"`(Ringback\w+)`", cells[0])
        if name:
            link = re.search(r"\(\.\./runbook\.md#([^)]*)\)", cells[4])
            found.append((name[1], cells[1], cells[2], link[1] if link else None))
    return found


def series_labels(labels, metrics):
    """Names of series instead of metrics: those of a histogram have suffixes, and `le`."""
    found = {}
    for name, own in labels.items():
        if metrics.get(name) == "Histogram":
            found |= {name + "_bucket": own | {"le"}, name + "_count": own, name + "_sum": own}
        else:
            found[name] = own
    return found


def metric_faults(metrics, texts):
    """Whether code and documents have the same metrics. `texts`: pages that name some."""
    labels = metric_labels(texts[str(METRICS)])
    found = [f"{METRICS}: {name} is missing" for name in sorted(metrics.keys() - labels.keys())]
    known = metrics.keys() | series_labels(labels, metrics).keys()
    for page, text in sorted(texts.items()):
        named = set(re.findall(r"\b(?:ringback|process)_[a-z0-9_]+", text)) - NO_METRICS
        found += [f"{page}: the code has no metric {name}" for name in sorted(named - known)]
    return found


def pages():
    """The documents that say what is, not what was."""
    files = [Path("README.md"), Path("README.zh-CN.md"), Path("deploy/README.md"), *Path("docs").glob("*.md")]
    files += [file for folder in ("explanation", "guides", "reference") for file in Path("docs", folder).glob("*.md")]
    return {str(file): file.read_text() for file in files if file.name != "changelog.md"}
