"""What fleet shall reach, and whether it does. Every ratio is one within the run.

"must" is what a release needs, "aim" what we work towards. A figure is compared as it is printed.
"""
from dataclasses import dataclass, field

from benchmark.results import divide, worst
from benchmark.workloads import MB, RTT_MS

SSH = "openssh-x25519"


@dataclass
class Figure:
    """One number and the limits it is held against; no limit at a level always passes."""

    value: float
    unit: str
    must: float
    aim: float
    digits: int = 2

    def text(self):
        return "-" if self.value is None else f"{self.value:.{self.digits}f} {self.unit}"

    def missed(self, level):
        limit = getattr(self, level)
        if None in (self.value, limit) or round(self.value, self.digits) <= limit:
            return None
        return f"<= {limit:g} {self.unit}"


@dataclass
class Target:
    """The works it is read from say at which size it was measured."""

    title: str
    works: list
    figures: list
    failures: int = 0
    notes: list = field(default_factory=list)

    def verdict(self, level):
        missed = [text for text in (figure.missed(level) for figure in self.figures) if text]
        if self.failures:
            missed.insert(0, f"{self.failures} failures")
        if missed:
            return "miss: " + ", ".join(missed)
        unknown = sum(figure.value is None for figure in self.figures)
        if unknown == len(self.figures):
            return "not measured"
        return "pass as far as measured" if unknown else "pass"

    def verdicts(self):
        return {level: self.verdict(level) for level in ("must", "aim")}

    def row(self):
        works = " ".join(work.id for work in self.works)
        figures = ", ".join([*(figure.text() for figure in self.figures), *self.notes])
        return [self.title, figures, *self.verdicts().values(), works]


def all_targets(results):
    readers = (fan_out, one_host, steps, far_step, far_true, upload, lines, thousand)
    targets = [Target(*reader(results)) for reader in readers]
    for target in targets:
        target.works = [work for work in target.works if work]
        rows = [results.row(work, "fleet") for work in target.works]
        target.failures = sum(row["failures"] for row in rows if row)
        target.notes = [row["note"] for row in rows if row and row["note"]]
    return targets


def fan_out(results):
    works = results.at_size("w1", "exec", 100, 500)
    most = results.find("w1", "exec", hosts=500, parallel=200)
    to_best = [divide(results.get(w, "fleet", "cpu"), results.best_peer(w)) for w in works]
    figures = [
        Figure(worst(results.ratio(work, "c") for work in works), "x C", 1.5, 1.1),
        Figure(worst(to_best), "x best peer", 0.5, 0.25),
        Figure(divide(results.get(most, "fleet", "anon"), MB), "MB at 500 hosts", 36, 20, 1),
    ]
    return "`fleet exec` of `true`, 100-500 hosts", works, figures


def one_host(results):
    work = results.find("w1", "exec", hosts=1)
    cpu, wall = results.ratio(work, SSH), results.ratio(work, SSH, "wall")
    figures = [Figure(cpu, "x ssh's CPU", 1.5, 1.0), Figure(wall, "x ssh's wall", 0.6, 0.5)]
    return "one host, whole process", [work], figures


def steps(results):
    works = results.at_size("w2", "steps", 50, 100, amount=5)
    many = results.largest("w2", "steps", amount=25)
    few = results.find("w2", "steps", amount=5, hosts=many.hosts) if many else None
    further = divide(results.growth("cpu", few, many), 20 * many.hosts / 1e3) if many else None
    figures = [
        Figure(worst(results.ratio(work, "c") for work in works), "x C", 1.6, 1.2),
        Figure(further, "ms for a further step", None, 0.12, 3),
    ]
    return "five steps on 50-100 hosts", [*works, many], figures


def far_step(results):
    few, many = (results.find("w5", "steps", hosts=1, amount=amount) for amount in (5, 25))
    further = divide(results.growth("wall", few, many), 20 * RTT_MS / 1e3)
    figures = [Figure(further, "RTT", 1.2, 1.0, 1)]
    return f"a further step over {RTT_MS} ms RTT", [few, many], figures


def far_true(results):
    near, far = (results.find("w5", "exec", hosts=1, rtt_ms=rtt_ms) for rtt_ms in (0, RTT_MS))
    many = results.largest("w5", "exec", rtt_ms=RTT_MS)
    figures = [
        Figure(divide(results.growth("wall", near, far), RTT_MS / 1e3), "RTT", 10, 8, 1),
        Figure(results.ratio(many, "c", "wall"), "x C's wall on many hosts", 1.1, 1.1),
    ]
    return f"`true` over {RTT_MS} ms RTT", [near, far, many], figures


def upload(results):
    few, many = (results.find("w3", "upload", hosts=hosts, amount=10 * MB) for hosts in (5, 20))
    # Memory shall not grow with the hosts, but for a session and its small buffers.
    further = divide(results.growth("anon", few, many), 15 * MB)
    figures = [
        Figure(results.ratio(many, "c"), "x C", 1.2, 0.7),
        Figure(further, "MB for a further host", 0.25, 0.25),
    ]
    return "10 MB upload to 20 hosts", [few, many], figures


def lines(results):
    work = results.find("w6", "lines", hosts=10, amount=10 * MB)
    anon = divide(results.get(work, "fleet", "anon"), MB)
    figures = [
        Figure(results.ratio(work, SSH), "x ssh's CPU", 1.5, 1.0),
        Figure(anon, "MB", 32, 16, 1),
    ]
    return "10 MB of lines from each of 10 hosts", [work], figures


def thousand(results):
    work = results.find("w1", "exec", hosts=1000, parallel=200)
    figures = [Figure(results.ratio(work, "c", "wall"), "x C's wall", None, 1.1)]
    return "1000 hosts, 200 at once, one sshd", [work], figures
