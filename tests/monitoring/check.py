"""Checks alerts, dashboards and their documents, and that each check detects a fault made on purpose
(breakages.py)."""

import os
import sys

import yaml

import breakages
import code_metrics
import dashboard_faults
import documents
import rule_faults

PROMTOOL = os.environ.get("PROMTOOL")


def main():
    text = rule_faults.RULES.read_text()
    if "--write" in sys.argv[1:]:
        rule_faults.OPERATOR_RULE.write_text(rule_faults.operator_rule(text))
    rules = yaml.safe_load(text)
    metrics = code_metrics.in_code()
    pages = documents.pages()
    page = pages[str(documents.METRICS)]
    runbooks = documents.RUNBOOK.read_text(), documents.RUNBOOK_ZH.read_text()
    documented = documents.series_labels(documents.metric_labels(page), metrics)
    cases = rule_faults.cases()
    boards, found = dashboard_faults.read(dashboard_faults.texts())

    found += documents.metric_faults(metrics, pages)
    found += rule_faults.sense(rules, documented, *runbooks)
    found += rule_faults.table_sense(rules, page)
    found += rule_faults.operator_sense(rules, rule_faults.OPERATOR_RULE.read_text())
    found += rule_faults.coverage(rules, cases, documented)
    found += dashboard_faults.sense(boards, documented)
    expressions = dashboard_faults.expressions(boards)
    print(f"{len(metrics)} metrics, {len(rule_faults.alerts_of(rules))} alerts, {len(cases)} tests of them, "
          f"{len(boards)} dashboards with {len(expressions)} expressions read")

    broken = list(breakages.of_documents(metrics, pages, rules))
    broken += breakages.of_rules(rules, documented, runbooks, page, cases)
    broken += breakages.of_dashboards(boards, documented)
    if PROMTOOL:
        found += rule_faults.promtool_faults(PROMTOOL)
        found += rule_faults.expression_faults(PROMTOOL, expressions)
        broken += breakages.of_promtool(PROMTOOL, rules, cases)
        print("promtool has checked the rules, the settings and the expressions, and run the tests")
    else:
        print("SKIPPED: monitoring: promtool is not installed (prometheus), so no alert was tried")
    found += [f"self-test: nobody noticed {what}" for what, noticed in broken if not noticed]
    print(f"{len(broken)} faults made on purpose")

    for fault in found:
        print(f"check-monitoring: {fault}", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
