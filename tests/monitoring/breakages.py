"""Faults made on purpose, and what the right check says of each. Nothing said means that the check has
missed the fault."""

import copy
import re

import code_metrics
import dashboard_faults
import documents
import rule_faults


def of_documents(metrics, pages, rules):
    def page_with(old, new):
        name = str(documents.METRICS)
        return {**pages, name: pages[name].replace(old, new)}

    yield "a metric that is not documented", documents.metric_faults({**metrics, "ringback_new_total": "Counter"}, pages)
    yield "a metric that is registered and not found", code_metrics.in_text(
        'Self {\n    sent: add(\n        registry,\n        "sent",\n        "Sent",\n        Counter::default(),\n    ),\n}'
    ) == {"ringback_sent_total": "Counter"}
    yield "a documented metric that the code has not", documents.metric_faults(
        metrics, page_with("`ringback_cancelled_total`", "`ringback_canceled_total`"))
    yield "a metric of a guide that the code has not", documents.metric_faults(
        metrics, {**pages, "docs/guides/x.md": "`ringback_no_such_metric`"})
    yield "an alert that the table lacks", rule_faults.table_sense(
        rules, page_with("`RingbackStopped`", "`RingbackOther`")[str(documents.METRICS)])
    yield "a table with another severity", rule_faults.table_sense(
        rules, page_with("`RingbackStopped` | warning", "`RingbackStopped` | critical")[str(documents.METRICS)])


def of_rules(rules, documented, runbooks, page, cases):
    def changed(name, change):
        broken = copy.deepcopy(rules)
        change(next(one for one in rule_faults.alerts_of(broken) if one["alert"] == name))
        return broken

    def sense(name, change):
        return rule_faults.sense(changed(name, change), documented, *runbooks)

    def expression(name, old, new):
        def change(alert):
            if old not in alert["expr"]:
                raise SystemExit(f"check-monitoring: {name} has no `{old}` (breakages.py)")
            alert["expr"] = alert["expr"].replace(old, new)

        return change

    def without(predicate):
        return [(file, case) for file, case in cases if not predicate(case)]

    stopped, dead = "RingbackStopped", "RingbackDeadLetters"
    link = rule_faults.RUNBOOK_BASE
    yield "an alert without severity", sense(stopped, lambda a: a.pop("labels"))
    yield "an alert of another severity", sense(stopped, lambda a: a["labels"].update(severity="page"))
    yield "an alert without a summary", sense(stopped, lambda a: a["annotations"].pop("summary"))
    yield "an alert that does not say what to do", sense(stopped, lambda a: a["annotations"].update(description="x."))
    yield "an alert without a link", sense(stopped, lambda a: a["annotations"].pop("runbook_url"))
    yield "a link to no section", sense(stopped, lambda a: a["annotations"].update(runbook_url=link + "nowhere"))
    yield "a section that the Chinese runbook lacks", rule_faults.sense(
        rules, documented, runbooks[0], runbooks[1].replace("## 死信", "## 其他"))
    yield "an alert of another name", sense(stopped, lambda a: a.update(alert="Stopped"))
    yield "two alerts of one name", sense(stopped, lambda a: a.update(alert=dead))
    yield "an alert on no metric", sense(stopped, expression(stopped, "ringback_stopped", "ringback_stoped"))
    yield "an alert on no label", sense(
        "RingbackDeliveryLimit", expression("RingbackDeliveryLimit", "queue=", "que="))
    yield "an alert that misses the first event", sense(
        dead, expression(dead, "unless ringback_dead_letters_total offset 15m", ""))
    yield "an alert that takes a failed scrape for events", sense(
        dead, expression(dead, "up offset 15m == 1", "up offset 15m"))
    yield "an alert that misses what a new process has counted", sense(
        dead, expression(dead, "process_start_time_seconds < 900", "process_start_time_seconds < 300"))
    yield "an alert on a rate", sense(
        dead, lambda a: a.update(expr="sum(rate(ringback_dead_letters_total[5m])) > 0"))
    operator = rule_faults.operator_rule(rule_faults.RULES.read_text())
    yield "a PrometheusRule of other rules", rule_faults.operator_sense(rules, operator.replace("> 0", "> 1", 1))
    yield "an alert without a test", rule_faults.coverage(
        rules, without(lambda case: any(name == stopped for name, _ in rule_faults.expectations(case))), documented)
    yield "an alert that no test lets fire", rule_faults.coverage(
        rules, without(lambda case: (dead, True) in rule_faults.expectations(case)), documented)
    silent = copy.deepcopy(cases)
    for _, case in silent:
        case["promql_expr_test"] = [one for one in case.get("promql_expr_test", []) if one["exp_samples"]]
    yield "an alert that no test finds silent", rule_faults.coverage(rules, silent, documented)
    yield "a counter without a test of its first event", rule_faults.coverage(
        rules, without(lambda case: any(str(one["values"]).startswith("_") for one in case["input_series"])), documented)
    for what, old, new in (
        ("a test on no metric", "ringback_stopped{", "ringback_stoped{"),
        ("a test on series without their labels", ',switch="deliveries"', ""),
    ):
        broken = copy.deepcopy(cases)
        for _, case in broken:
            for one in case["input_series"]:
                one["series"] = one["series"].replace(old, new)
        yield what, rule_faults.coverage(rules, broken, documented)


def of_dashboards(boards, documented):
    def sense(change, name="overview"):
        broken = copy.deepcopy(boards)
        change(broken[name])
        return dashboard_faults.sense(broken, documented)

    def panel(board):
        return dashboard_faults.panels(board)[0]

    def target(text):
        return lambda board: panel(board)["targets"][0].update(expr=text)

    yield "a dashboard that is not JSON", dashboard_faults.read({"overview": "{"})[1]
    yield "a dashboard that is missing", dashboard_faults.sense(
        {name: board for name, board in boards.items() if name != "apps"}, documented)
    yield "two dashboards with one uid", sense(lambda b: b.update(uid=boards["apps"]["uid"]))
    yield "an old schema", sense(lambda b: b.update(schemaVersion=16))
    yield "a dashboard without a data source", sense(lambda b: b["templating"]["list"].pop(0))
    yield "a panel of another data source", sense(lambda b: panel(b).update(datasource="Prometheus"))
    yield "a panel without a title", sense(lambda b: panel(b).pop("title") and panel(b).update(title=""))
    yield "two panels of one title", sense(lambda b: panel(b).update(title=b["panels"][1]["title"]))
    yield "a panel without a unit", sense(lambda b: panel(b)["fieldConfig"]["defaults"].pop("unit"))
    yield "a panel without an expression", sense(lambda b: panel(b).update(targets=[]))
    yield "a panel of another kind", sense(lambda b: panel(b).update(type="graph"))
    yield "panels on each other", sense(lambda b: b["panels"][1]["gridPos"].update(x=0))
    yield "an expression on no metric", sense(target("sum(ringback_no_such_metric)"))
    yield "an expression on no label", sense(target('sum(ringback_stopped{queue="first"})'))
    yield "an expression with no such variable", sense(target('sum(ringback_stopped{instance=~"$process"})'))
    yield "a variable of no metric", sense(
        lambda b: dashboard_faults.variables(b)["app"]["query"].update(query="label_values(ringback_x, app_id)"), "apps")


def of_promtool(tool, rules, cases):
    """Each alert's own tests notice a rule that never fires and one that always does."""
    yield "an expression that does not parse", rule_faults.expression_faults(tool, [("x", "sum(ringback_stopped")])
    for alert in rule_faults.alerts_of(rules):
        for what, expression in (("never", "vector(1) > 2"), ("always", "vector(1)")):
            broken = {**alert, "expr": expression}
            yield f"{alert['alert']} that {what} fires", rule_faults.tests_of_alert(tool, broken, cases)
    dead = next(one for one in rule_faults.alerts_of(rules) if one["alert"] == "RingbackDeadLetters")
    for what, part, instead in (
        ("misses the first event", r"\(\S+ unless \S+ offset \w+\n", "(vector(1) > 2\n"),
        ("takes a failed scrape for events", r"up offset \w+ == 1", "up offset 15m"),
        ("takes an old process for a new one", r"< 900", "< 9000"),
        ("misses what a new process has counted", r" or time\(\) - process_start_time_seconds < 900", ""),
    ):
        broken = {**dead, "expr": re.sub(part, instead, dead["expr"])}
        yield f"RingbackDeadLetters that {what}", rule_faults.tests_of_alert(tool, broken, cases)
