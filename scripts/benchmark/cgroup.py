"""Control groups: what a whole process tree uses, daemons included."""
import os
import sys
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAMES = ("fleet-bench-client", "fleet-bench-sshd")


class Cgroup:
    """Needs version 2. Where version 1 still has the memory controller, a group in each."""

    def __init__(self, name):
        unified = [path for path in (ROOT / "unified", ROOT) if (path / "cgroup.procs").exists()]
        if not unified or not os.access(unified[0], os.W_OK):
            sys.exit("bench: needs a writable cgroup v2 hierarchy in /sys/fs/cgroup")
        roots = [unified[0]]
        if (ROOT / "memory/tasks").exists():
            roots.append(ROOT / "memory")
        else:
            self._enable_memory(unified[0])
        self.directories = [root / name for root in roots]
        for directory in self.directories:
            directory.mkdir(exist_ok=True)

    @staticmethod
    def _enable_memory(root):
        try:
            (root / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            pass  # not allowed in some containers: memory then stays unknown

    def join(self):
        for directory in self.directories:
            (directory / "cgroup.procs").write_text("0")

    def processes(self):
        return [int(pid) for pid in (self.directories[0] / "cgroup.procs").read_text().split()]

    def cpu_seconds(self):
        return self._value(self.directories[0] / "cpu.stat", "usage_usec") / 1e6

    def anonymous_bytes(self):
        """None where the memory controller is not at hand."""
        return self._value(self.directories[-1] / "memory.stat", "anon", "total_rss")

    @staticmethod
    def _value(path, *names):
        if not path.exists():
            return None
        for line in path.read_text().splitlines():
            name, value = line.split()
            if name in names:
                return int(value)
        return None

    def kill(self):
        (self.directories[0] / "cgroup.kill").write_text("1")
        while self.processes():
            time.sleep(0.005)


def remove_all():
    for directory in (path for name in NAMES for path in (*ROOT.glob(f"*/{name}"), ROOT / name)):
        for _ in range(100):
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)  # its last processes are still ending
