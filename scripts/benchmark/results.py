"""The medians of every work's runs, by tool, and the ratios between them."""
import statistics


def divide(a, b):
    """None, for not measured, stays None; here and in all below."""
    return a / b if a is not None and b else None


def worst(values):
    values = list(values)
    return max(values) if values and None not in values else None


class Results:
    def __init__(self, runs, works, tools):
        self.works = works
        self.peers = [tool.name for tool in tools if tool.is_peer]
        grouped = {}
        for run in runs:
            grouped.setdefault((run["work"], run["tool"]), []).append(run)
        self.medians = {key: self._median(group) for key, group in grouped.items()}

    @staticmethod
    def _median(group):
        row = {"tool": group[0]["tool"], "note": max(run["note"] for run in group)}
        row["failures"] = max(run["failures"] for run in group)
        for name in ("cpu", "wall", "anon"):
            known = [run[name] for run in group if run[name] is not None]
            row[name] = statistics.median(known) if known else None
        return row

    def rows(self, work):
        """The leanest first, failures last."""
        rows = [row for (id, _), row in self.medians.items() if id == work.id]
        return sorted(rows, key=lambda row: (row["failures"] > 0, row["cpu"]))

    def row(self, work, tool):
        return self.medians.get((work.id, tool)) if work else None

    def get(self, work, tool, name):
        """None if it was not measured, or if the tool did not do all of the work."""
        row = self.row(work, tool)
        return row[name] if row and not row["failures"] else None

    def ratio(self, work, other, name="cpu", tool="fleet"):
        return divide(self.get(work, tool, name), self.get(work, other, name))

    def growth(self, name, few, many):
        """By how much fleet's figure is larger for the second work."""
        low, high = self.get(few, "fleet", name), self.get(many, "fleet", name)
        return high - low if None not in (low, high) else None

    def best_peer(self, work):
        cpu = [self.get(work, peer, "cpu") for peer in self.peers]
        return min((value for value in cpu if value is not None), default=None)

    def _matching(self, group, kind, wanted):
        works = [work for work in self.works if (work.group, work.kind) == (group, kind)]
        return [w for w in works if all(getattr(w, name) == wanted[name] for name in wanted)]

    def find(self, group, kind, **wanted):
        return next(iter(self._matching(group, kind, wanted)), None)

    def largest(self, group, kind, **wanted):
        works = [work for work in self._matching(group, kind, wanted) if work.hosts > 1]
        return max(works, key=lambda work: work.hosts, default=None)

    def at_size(self, group, kind, least, most, **wanted):
        """The works on so many hosts; where there are none, the one on most hosts."""
        works = self._matching(group, kind, wanted)
        fitting = [work for work in works if least <= work.hosts <= most]
        return fitting or [work for work in [self.largest(group, kind, **wanted)] if work]
