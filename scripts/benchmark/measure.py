"""Times one run and counts what it used."""
import contextlib
import os
import select
import signal
import subprocess
import time

LONGEST_RUN_SECONDS = 120
# Hosts may take this long to end the sessions of a run before the next one starts.
SETTLE_SECONDS = 3


def measure(stage, run, tool):
    """Lets the tool do the run's work. CPU and wall are seconds, anon is bytes, failures hosts."""
    client_cpu, sshd_cpu = stage.client.cpu_seconds(), stage.sshd.cpu_seconds()
    wall, status, anon, is_late = _execute(stage, run, tool.command(stage, run))
    stage.client.kill()  # what the tool left running, such as connection masters
    left = _settle(stage)
    undone = run.work.hosts if is_late else stage.undone_hosts(run)
    result = {
        "work": run.work.id,
        "tool": tool.name,
        "wall": wall,
        "cpu": stage.client.cpu_seconds() - client_cpu,
        "sshd_cpu": stage.sshd.cpu_seconds() - sshd_cpu,
        "anon": anon,
        "exit": status,
        "failures": max(undone, int(status != 0)),
    }
    return {**result, "note": _note(stage, run, result["failures"], is_late, left)}


def _execute(stage, run, command):
    network = stage.slow_network if run.work.rtt_ms else "-"
    report, report_end = os.pipe()
    launch = [stage.bin / "launch", report_end, network, *stage.client.directories, "--", *command]
    # The output goes to memory like the hosts' files, so that no disk is part of the figures.
    with open(stage.root / "stdout", "wb") as out, open(stage.root / "stderr", "wb") as errors:
        launcher = subprocess.Popen(
            [str(word) for word in launch],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            cwd=run.directory,
            env=stage.environment,
            pass_fds=(report_end,),
            start_new_session=True,
        )
    os.close(report_end)
    anon, is_late = _watch(stage.client, report)
    with os.fdopen(report) as file:
        wall, status = file.read().split()
    launcher.wait()
    return float(wall), int(status), anon, is_late


def _watch(client, report):
    """The peak of anonymous memory until the launcher reports the end."""
    started, peak, is_late = time.monotonic(), None, False
    while not select.select([report], [], [], 0.01)[0]:
        anon = client.anonymous_bytes()
        if anon is not None:
            peak = max(peak or 0, anon)
        if time.monotonic() - started > LONGEST_RUN_SECONDS:
            is_late = True
            client.kill()
    return peak, is_late


def _settle(stage):
    """Waits until the hosts are idle; returns how many processes had to be ended there."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while stage.processes_on_hosts() and time.monotonic() < deadline:
        time.sleep(0.01)
    left = stage.processes_on_hosts()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while os.waitpid(-1, os.WNOHANG)[0]:
        pass  # the first process of a PID namespace inherits every daemon
    return len(left)


def _note(stage, run, failures, is_late, left):
    """What else a reader must know."""
    notes = []
    if is_late:
        notes.append(f"ended after {LONGEST_RUN_SECONDS} s")
    elif failures:
        notes.append(_last_words(stage))
    if run.work.kind == "lines":
        share = _share_of_lines(stage, run)
        # Where two hosts' chunks meet a line is cut in two, which is no loss.
        if share < 0.99:
            notes.append(f"printed {share:.0%} of the lines")
    if left:
        notes.append(f"left {left} processes on the hosts")
    return ", ".join(notes)


def _last_words(stage):
    for name in ("stderr", "stdout"):
        text = (stage.root / name).read_bytes()[-2000:].decode(errors="replace").strip()
        if text:
            return text.splitlines()[-1].replace("|", "/")[-160:]
    return "said nothing"


def _share_of_lines(stage, run):
    output = (stage.root / "stdout").read_bytes()
    found = sum(output.count(f"{host} ".encode()) for host in run.hosts)
    files = [stage.hosts / host / "lines.txt" for host in run.hosts]
    return found / sum(file.read_bytes().count(b"\n") for file in files)
