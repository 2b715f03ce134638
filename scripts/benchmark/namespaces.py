"""Mount, network and PID namespaces for one run.

Their first process is the benchmark. With its end, however it comes, the kernel ends sshd and
everything else in there and drops mounts and network; the parent then removes the cgroups.
"""
import ctypes
import os
import signal
import subprocess
import sys

from benchmark import cgroup

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1


def shell(text, network=None):
    """Runs shell commands, in another network namespace if one is given."""
    enter = ["nsenter", f"--net={network}", "--"] if network else []
    subprocess.run([*enter, "sh", "-ec", text], check=True)


def run_in_namespaces(action):
    """Calls `action` as the first process of new namespaces; returns its exit status."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID) != 0:
        sys.exit(f"bench: no new namespaces: {os.strerror(ctypes.get_errno())}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    child = os.fork()
    if child == 0:
        os._exit(_first_process(libc, action))
    has_ended = False
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        has_ended = True
        return status
    finally:
        if not has_ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        cgroup.remove_all()


def _first_process(libc, action):
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent decides. Not SIG_IGN, which everything that is measured would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        shell("mount --make-rprivate /; mount -t proc proc /proc")
        return action()
    except SystemExit as stop:
        print(stop.code, file=sys.stderr)
        return 70
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 70
    finally:
        sys.stdout.flush()
