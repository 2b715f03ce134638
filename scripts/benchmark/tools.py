"""The tools: how each one is told to do a work, in its users' usual ways."""
import json
import shlex
import subprocess
import sys
from pathlib import Path

from benchmark.stage import PORT

PEERS = Path(__file__).resolve().parent / "peers"


class Tool:
    """`command` is given a stage and a run that are ready, and returns what shall be timed."""

    is_peer, needs_venv = True, False
    most_hosts = 10_000

    def does(self, work):
        return work.hosts <= self.most_hosts and (not work.only or self.name in work.only)

    def version(self):
        """The first line of what `asks_version` prints."""
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(self.asks_version, **output).stdout.strip().split("\n")[0]


class Fleet(Tool):
    """`fleet exec` for one command, `fleet run` with a playbook for steps and uploads."""

    name, is_peer, client = "fleet", False, None

    def __init__(self, program):
        self.program, self.asks_version = program, [program, "--version"]

    def command(self, stage, run):
        settings = {"user": "root", "port": PORT, "identity_file": str(stage.key)}
        if self.client:
            settings["client"] = self.client
        ssh = json.dumps(settings)
        hosts = "".join(f"  - {host}\n" for host in run.hosts)
        run.write("inventory/bench.yml", f"ssh: {ssh}\nhosts:\n{hosts}")
        # A journal of its own: an older build refuses one that a newer build has brought up to date.
        state = ["--state-dir", str(stage.home / f"state-{self.name}")]
        options = ["bench", "-f", run.work.parallel, *state]
        if run.work.kind in ("exec", "lines"):
            return [self.program, "exec", *options, "--", *run.work.commands]
        steps = [{"name": f"step {i}", "run": c} for i, c in enumerate(run.work.commands, 1)]
        if run.source:
            upload = {"source": str(run.source), "destination": run.destination}
            steps = [{"name": "upload", "upload": upload}]
        text = "".join(f"  - {json.dumps(step)}\n" for step in steps)
        run.write("playbooks/bench.yml", f"name: Bench\nsteps:\n{text}")
        return [self.program, "run", "bench", *options, "--yes"]


class OtherFleet(Fleet):
    """Another build of fleet, beside which this one is measured; it does whatever this one does."""

    name = "other"

    def does(self, work):
        return True


class FleetByOpenSSH(Fleet):
    """fleet with the system's `ssh` as its client: beside plain `ssh`, what fleet adds to it."""

    name, client = "fleet-openssh", "openssh"

    def does(self, work):
        return work.hosts <= 500


class Reference(Tool):
    """C in the tables: see c/reference.c."""

    name, is_peer = "c", False
    asks_version = ["dpkg-query", "-W", "-f", "libssh2 ${Version}", "libssh2-1"]

    def command(self, stage, run):
        command = [stage.bin / "reference", "-p", PORT, "-P", run.work.parallel, "-u", "root"]
        command += ["-k", stage.key, "-K", stage.host_key, "-H", run.directory / "hosts"]
        what = ["-U", run.source, run.destination] if run.source else ["--", *run.work.commands]
        return command + what


class OpenSSH(Tool):
    """ssh and scp, spread with xargs -P. A connection per step: what it does by itself."""

    name, options, asks_version = "openssh", [], ["ssh", "-V"]

    def command(self, stage, run):
        if run.source:
            copy = ["scp", "-q", *self.options, run.source, f"@:{run.destination}"]
            return self.on_all(run, copy)
        commands = [self.on_all(run, ["ssh", *self.options, "@", c]) for c in run.work.commands]
        if len(commands) == 1:
            return commands[0]
        return ["sh", "-ec", "\n".join(shlex.join(map(str, command)) for command in commands)]

    @staticmethod
    def on_all(run, command):
        if len(run.hosts) == 1:
            return [run.hosts[0] if word == "@" else word for word in command]
        return ["xargs", "-a", "hosts", "-P", run.work.parallel, "-I@", *command]


class OpenSSHWithCurve25519(OpenSSH):
    """The same without the post-quantum key exchange that OpenSSH prefers, the larger part of
    its CPU, so that all tools compute the same."""

    name, options = "openssh-x25519", ["-o", "KexAlgorithms=curve25519-sha256"]


class PythonPeer(Tool):
    """A library: a script of ours in peers/ reads the task from a JSON file."""

    needs_venv = True

    def __init__(self, name, script, venv):
        self.name, self.script, self.python = name, script, venv / "bin/python"
        code = f"from importlib.metadata import version; print(version('{name}'))"
        self.asks_version = [self.python, "-c", code]

    def command(self, stage, run):
        task = {
            "hosts": run.hosts,
            "commands": run.work.commands,
            "source": str(run.source) if run.source else None,
            "destination": run.destination,
            "parallel": run.work.parallel,
            "port": PORT,
            "key": str(stage.key),
            "known_hosts": str(stage.known_hosts),
        }
        return [self.python, PEERS / self.script, run.write("task.json", json.dumps(task))]


class Ansible(Tool):
    """Ad-hoc commands, and playbooks without facts; pipelining as its own guide advises."""

    name, needs_venv = "ansible", True
    most_hosts = 100  # beyond that a run takes minutes and, with many forks, gigabytes

    def __init__(self, venv):
        self.bin = venv / "bin"
        self.asks_version = [self.bin / "ansible", "--version"]

    def command(self, stage, run):
        self.write_settings(run)
        if run.work.kind in ("exec", "lines"):
            module = ["-m", "ansible.builtin.command", "-a", run.work.commands[0]]
            return [self.bin / "ansible", "all", *module]
        tasks = [{"ansible.builtin.shell": command} for command in run.work.commands]
        if run.source:
            tasks = [{"ansible.builtin.copy": {"src": str(run.source), "dest": run.destination}}]
        play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
        return [self.bin / "ansible-playbook", run.write("play.yml", json.dumps(play))]

    @staticmethod
    def write_settings(run):
        run.write(
            "ansible.cfg",
            f"[defaults]\ninventory = hosts.ini\nforks = {run.work.parallel}\n"
            f"local_tmp = {run.directory}/tmp\n"
            f"[ssh_connection]\npipelining = True\ncontrol_path_dir = {run.directory}/cp\n",
        )
        hosts = "".join(f"{host}\n" for host in run.hosts)
        interpreter = f"[all:vars]\nansible_python_interpreter={sys.executable}\n"
        run.write("hosts.ini", f"[all]\n{hosts}{interpreter}")


def every_tool(fleet, venv):
    return [
        Fleet(fleet),
        FleetByOpenSSH(fleet),
        Reference(),
        OpenSSH(),
        OpenSSHWithCurve25519(),
        PythonPeer("parallel-ssh", "parallelssh_peer.py", venv),
        PythonPeer("asyncssh", "asyncssh_peer.py", venv),
        Ansible(venv),
    ]
