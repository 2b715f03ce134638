"""The report's Markdown."""
from benchmark.results import divide
from benchmark.workloads import GROUPS, MB


def table(rows, text_columns):
    """Markdown that reads well as plain text, too; the columns after `text_columns` are numbers."""
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    rule = ["-" * w if i < text_columns else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = []
    for row in [rows[0], rule, *rows[1:]]:
        text = [cell.ljust(width) for cell, width in zip(row[:text_columns], widths)]
        numbers = [c.rjust(w) for c, w in zip(row[text_columns:], widths[text_columns:])]
        lines.append(f"| {' | '.join(text + numbers)} |")
    return "\n".join(lines) + "\n"


def show(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def group_title(group):
    return f"## {group}: {GROUPS[group]}\n"


def work_table(results, work):
    rows = [["tool", "client CPU ms/host", "wall s", "anon MB", "x C", "x best peer", "failures"]]
    best = results.best_peer(work)
    for row in results.rows(work):
        rows.append(
            [
                row["tool"],
                show(row["cpu"] * 1e3 / work.hosts),
                show(row["wall"], 3),
                show(divide(row["anon"], MB), 1),
                show(results.ratio(work, "c", tool=row["tool"])),
                show(divide(results.get(work, row["tool"], "cpu"), best)),
                f"{row['failures']} {row['note']}".strip(),
            ]
        )
    hosts = "1 host" if work.hosts == 1 else f"{work.hosts} hosts, {work.parallel} at once"
    return f"### {work.id}: {hosts}\n\n{table(rows, text_columns=1)}"


def target_table(targets):
    rows = [["target", "fleet", "must", "aim", "measured with"]]
    rows += [target.row() for target in targets]
    return f"## fleet against its targets\n\n{table(rows, text_columns=len(rows[0]))}"


def preface(machine, versions, command):
    """What a page needs to stand on its own."""
    tools = "".join(f"- {name}: {version}\n" for name, version in versions.items())
    return (
        "# Benchmark\n\n"
        f"`{command}` on {machine['date']}: {machine['cpus']} x {machine['cpu']}, Linux"
        f" {machine['kernel']}, load {machine['load']:.1f} at the start.\n\n{tools}\n"
        "All hosts are one sshd on the same machine, whose CPU bounds the wall time: judge a tool\n"
        "by its client CPU and by ratios within one run. Medians of alternating runs.\n"
    )
