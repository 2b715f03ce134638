"""The stage: one sshd that stands for many hosts, and all that a tool needs to reach them."""
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark.cgroup import NAMES, Cgroup
from benchmark.namespaces import shell
from benchmark.workloads import Work

PORT = 2301
MOST_HOSTS = 5000
SSHD_CONFIG = """\
Port {port}
ListenAddress 0.0.0.0
HostKey {root}/host_key
AuthorizedKeysFile {key}.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 10000
MaxSessions 1000
LoginGraceTime 600
PrintMotd no
PrintLastLog no
LogLevel ERROR
Subsystem sftp /usr/lib/openssh/sftp-server
"""
CLIENT_CONFIG = """\
Host 127.1.*
  Port {port}
  User root
  IdentityFile {key}
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking yes
"""
# Without the catch-all 127/8 on loopback, the slow client's 127.3.0.1 can be routed to.
LOOPBACK = (
    "ip link set lo up; ip addr del 127.0.0.1/8 dev lo; ip addr add 127.0.0.1/16 dev lo;"
)
SLOW_END = (
    "ip link set {0} mtu 1500 txqueuelen 10000 up; for i in all {0}; do"
    " echo 1 > /proc/sys/net/ipv4/conf/$i/route_localnet;"
    " echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done;"
)


def lines(host, size):
    """Different on every host, so that a tool that folds equal output gains nothing."""
    line = "%s %07d the quick brown fox jumps over the lazy dog, again and again and again\n"
    count = size // len(line % (host, 0)) + 1
    return "".join(line % (host, number) for number in range(count)).encode()


@dataclass
class Run:
    """One execution of a work, and where its files are."""

    work: Work
    directory: Path
    hosts: list
    source: Path  # of an upload, else None
    destination = "uploaded.bin"

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


class Stage:
    """Everything below `cache`; to be opened inside the namespaces."""

    def __init__(self, cache):
        self.bin = cache / "bin"
        self.root = cache / "stage"  # memory: the hosts' disks shall not be what is measured
        self.hosts = self.root / "hosts"
        self.home, self.runs = cache / "home", cache / "runs"  # a disk: fleet's journal is there
        self.key, self.known_hosts = self.home / ".ssh/id_ed25519", self.home / ".ssh/known_hosts"
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "FLEET_TRUSTED_FILES": "all",
        }
        self.slow_network = None

    def open(self, rtt_ms):
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self.root.mkdir(exist_ok=True)
        shell(f"mount -t tmpfs -o mode=700 fleet-bench '{self.root}'")
        self._replace_etc()
        shell(LOOPBACK + "ip route add local 127.1.0.0/16 dev lo table local")
        self._write_ssh_files()
        self.client, self.sshd = map(Cgroup, NAMES)
        self._start_sshd()
        if rtt_ms:
            self._open_slow_network(rtt_ms)

    def _replace_etc(self):
        """A private copy in which root has the benchmark's home and the hosts' shell: no dot file
        of the machine's is read or written. All of /etc, because a mount on the file passwd alone
        is lost when a package replaces that file meanwhile."""
        copy = self.root / "etc"
        shell(f"cp -a /etc '{copy}'")
        entries = (copy / "passwd").read_text().splitlines()
        root = f"root:*:0:0:root:{self.home}:{self.bin}/hostsh"
        entries = [root if entry.startswith("root:") else entry for entry in entries]
        (copy / "passwd").write_text("\n".join(entries) + "\n")
        shell(f"mount --bind '{copy}' /etc")

    def _write_ssh_files(self):
        for path in (self.key, self.root / "host_key"):
            shell(f"ssh-keygen -q -t ed25519 -N '' -C bench -f '{path}'")
        self.host_key = (self.root / "host_key.pub").read_text().split()[1]
        names = {"port": PORT, "root": self.root, "key": self.key}
        (self.home / ".ssh/config").write_text(CLIENT_CONFIG.format(**names))
        (self.root / "sshd_config").write_text(SSHD_CONFIG.format(**names))

    def _start_sshd(self):
        log = self.root / "sshd.log"
        os.makedirs("/run/sshd", exist_ok=True)
        self.listener = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", self.root / "sshd_config", "-E", log],
            env={**self.environment, "LD_PRELOAD": str(self.bin / "backlog.so")},
            preexec_fn=self.sshd.join,
            start_new_session=True,
        )
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", PORT)).close()
            except OSError:
                time.sleep(0.02)
        sys.exit(f"bench: sshd does not listen: {log.read_text()}")

    def _open_slow_network(self, rtt_ms):
        link = subprocess.Popen(
            [self.bin / "tundelay", str(rtt_ms * 500)], stdout=subprocess.PIPE, text=True
        )
        if link.stdout.readline().strip() != "ready":
            sys.exit("bench: no slow network: is there /dev/net/tun? Leave out w5.")
        self.slow_network = f"/proc/{link.pid}/ns/net"
        shell(SLOW_END.format("hosts0") + "ip route add 127.3.0.1/32 dev hosts0")
        address = "ip addr add 127.3.0.1/32 dev client0;"
        route = "ip route add 127.1.0.0/16 dev client0 src 127.3.0.1"
        shell(LOOPBACK + SLOW_END.format("client0") + address + route, self.slow_network)

    def prepare(self, work):
        """Before a run, untimed: every host as if nothing had ever happened on it."""
        hosts = [f"127.1.{index // 250}.{index % 250 + 1}" for index in range(work.hosts)]
        source = self.root / work.label if work.kind == "upload" else None
        if source and not source.exists():
            source.write_bytes(os.urandom(work.amount))
        for directory in (self.runs, self.hosts):
            shutil.rmtree(directory, ignore_errors=True)
        run = Run(work, self.runs / "run", hosts, source)
        run.write("hosts", "".join(f"{host}\n" for host in hosts))
        key = f"ssh-ed25519 {self.host_key}"
        self.known_hosts.write_text("".join(f"[{host}]:{PORT} {key}\n" for host in hosts))
        for host in hosts:
            (self.hosts / host).mkdir(parents=True)
            if work.kind == "lines":
                (self.hosts / host / "lines.txt").write_bytes(lines(host, work.amount))
        return run

    def undone_hosts(self, run):
        """On how many hosts the work is not done, as the hosts themselves show it."""
        name, want = "visits", None  # any number of them
        if run.work.kind == "steps":
            count = run.work.amount
            name, want = "steps.log", "".join(f"{i}\n" for i in range(1, count + 1)).encode()
        if run.source:
            name, want = run.destination, run.source.read_bytes()
        files = [self.hosts / host / name for host in run.hosts]
        done = [file for file in files if file.exists() and want in (None, file.read_bytes())]
        return len(files) - len(done)

    def processes_on_hosts(self):
        return [pid for pid in self.sshd.processes() if pid != self.listener.pid]
