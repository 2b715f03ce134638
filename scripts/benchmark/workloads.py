"""What is measured: which work, on how many hosts, by which tools."""
from dataclasses import dataclass, replace

KB, MB = 1 << 10, 1 << 20
RTT_MS = 50
# Where only the distance to the least possible counts, and the peers would take minutes.
LEAN = ("fleet", "c")

GROUPS = {
    "w1": "`true` on every host, over cold connections",
    "w2": "cheap steps in order on every host, as each tool expresses a playbook",
    "w3": "one file uploaded to every host",
    "w5": f"over a round trip time of {RTT_MS} ms",
    "w6": "every host prints lines, and the output goes to a file",
}


@dataclass(frozen=True)
class Work:
    """One kind of work on a number of hosts: a table of the report."""

    group: str
    kind: str  # exec (of true), steps, upload or lines
    hosts: int
    amount: int = 0  # how many steps; how many bytes of a file, or printed by each host
    rtt_ms: int = 0
    only: tuple = ()  # the tools that take part; none named: all
    parallel: int = 0  # the most hosts at once; select() says it

    @property
    def label(self):
        size = f"{self.amount // MB}m" if self.amount >= MB else f"{self.amount // KB}k"
        amount = {"exec": "", "steps": self.amount}.get(self.kind, size)
        return f"{self.kind}{amount}"

    @property
    def id(self):
        delay = f"-rtt{self.rtt_ms}" if self.group == "w5" else ""
        return f"{self.group}/{self.label}-n{self.hosts}-p{self.parallel}{delay}"

    @property
    def commands(self):
        if self.kind == "steps":
            # Each step leaves a line: afterwards the host itself tells what ran, in which order.
            return [f"echo {number} >> steps.log" for number in range(1, self.amount + 1)]
        return {"exec": ["true"], "lines": ["cat lines.txt"]}.get(self.kind, [])


FULL = [
    Work("w1", "exec", 1),
    Work("w1", "exec", 10),
    Work("w1", "exec", 100),
    Work("w1", "exec", 500),
    Work("w1", "exec", 1000, only=LEAN),
    Work("w2", "steps", 1, 5),
    Work("w2", "steps", 50, 5),
    Work("w2", "steps", 50, 25, only=LEAN),
    Work("w2", "steps", 100, 5),
    Work("w3", "upload", 20, 64 * KB),
    Work("w3", "upload", 20, 10 * MB),
    Work("w3", "upload", 5, 10 * MB, only=LEAN),
    Work("w5", "exec", 1),
    Work("w5", "exec", 1, rtt_ms=RTT_MS),
    Work("w5", "exec", 200, rtt_ms=RTT_MS),
    Work("w5", "steps", 1, 5, RTT_MS),
    Work("w5", "steps", 1, 25, RTT_MS, only=LEAN),
    Work("w6", "lines", 10, 1 * MB),
    Work("w6", "lines", 10, 10 * MB),
]

QUICK = [
    Work("w1", "exec", 1),
    Work("w1", "exec", 20),
    Work("w2", "steps", 20, 5),
    Work("w2", "steps", 20, 25, only=LEAN),
    Work("w3", "upload", 20, 10 * MB, only=LEAN),
    Work("w3", "upload", 5, 10 * MB),
    Work("w5", "exec", 1, only=LEAN),
    Work("w5", "exec", 1, rtt_ms=RTT_MS),
    Work("w5", "exec", 20, rtt_ms=RTT_MS, only=LEAN),
    Work("w5", "steps", 1, 5, RTT_MS, only=LEAN),
    Work("w5", "steps", 1, 25, RTT_MS, only=LEAN),
    Work("w6", "lines", 10, 10 * MB, only=(*LEAN, "openssh-x25519", "asyncssh")),
]


def usual_parallel(hosts):
    return 200 if hosts >= 200 else 50


def select(groups, hosts, parallel, quick):
    """The works of some groups, with other numbers of hosts and other parallelism if given.
    The runs of w5 on one host stay as they are: figures in round trips come from them."""
    works = {}
    for work in QUICK if quick else FULL:
        is_fixed = work.group == "w5" and work.hosts == 1
        for count in [work.hosts] if is_fixed or not hosts else hosts:
            for slots in [usual_parallel(count)] if is_fixed or not parallel else parallel:
                variant = replace(work, hosts=count, parallel=slots)
                works.setdefault(variant.id, variant)
    return [work for work in works.values() if work.group in groups]
