"""Prints the table of kinds × promises after a run of the tests here."""

import json

LEGEND = """\
bit-equal: variables after all steps equal those of a bare fit, bit by bit
traced:    neither the plain step nor its twin is traced more often than in a bare fit
complete:  every tensor of the step is recorded, or its layer is listed with the reason
true:      statistics within 1e-5 of the tensor's rms of those of a second step, with a
           gradient tape, from the same variables and batch: eager in float64, or where
           the model draws random numbers or rounds by design in its own types (eager
           or as a graph); weights and updates of those read off the variables; over
           replicas and workers, within 1e-5 of those of one device
"""


def pytest_terminal_summary(terminalreporter):
    rows = [
        json.loads(dict(report.user_properties)["kind"])
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        and "kind" in dict(report.user_properties)
    ]
    if not rows:
        return
    promises = list(rows[0]["promises"])
    terminalreporter.section("kinds of model × promises")
    width = max(len(row["name"]) for row in rows)
    write = terminalreporter.write_line
    write(f"{'':{width}}  {'  '.join(promises)}  tensors  untapped  worst error")
    for row in rows:
        marks = [
            f"{'✓' if kept else '✗':^{len(promise)}}"
            for promise, kept in row["promises"].items()
        ]
        signal, error = max(row["worst"].items(), key=lambda item: item[1])
        write(
            f"{row['name']:{width}}  {'  '.join(marks)}  {row['tensors']:7}  "
            f"{len(row['untapped']):8}  {error:.0e} {signal}, {row['again']}"
        )
    write("")
    write(f"{len(rows)} kinds. Worst error by signal:")
    for signal in max((row["worst"] for row in rows), key=len):
        worst = max(rows, key=lambda row: row["worst"].get(signal, 0.0))
        error = worst["worst"].get(signal, 0.0)
        write(f"  {signal:13} {error:.1e} ({worst['name']})")
    write("Layers with something untapped:")
    for row in rows:
        for layer, reason in row["untapped"]:
            write(f"  {row['name']}: {layer} {reason}")
    for line in LEGEND.splitlines():
        write(line)
