"""Installs what a measurement needs, and builds the C programs and, if missing, fleet."""
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PACKAGES = (
    "openssh-server openssh-client gcc libc6-dev libssh2-1-dev libssl-dev libsqlite3-dev"
    " pkg-config python3-venv iproute2 util-linux findutils"
).split()
PEERS = ["ansible-core", "asyncssh", "parallel-ssh"]


def run(*command, **options):
    # stdout is the report's.
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, **options)


def packages():
    run(REPOSITORY / "scripts/packages", *PACKAGES)


def python_peers(venv):
    mark = venv / "installed"
    if mark.exists() and mark.read_text().split() == PEERS:
        return
    run(sys.executable, "-m", "venv", "--clear", venv)
    run(venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *PEERS)
    mark.write_text("\n".join(PEERS))


def c_programs(directory, hosts):
    directory.mkdir(parents=True, exist_ok=True)
    for program, options in {
        "backlog.so": ["-shared", "-fPIC"],
        "hostsh": ["-static", f'-DHOSTS="{hosts}"'],
        "launch": [],
        "tundelay": [],
        "reference": ["-lssh2", "-lcrypto"],
    }.items():
        source = HERE / "c" / f"{Path(program).stem}.c"
        run("gcc", "-O2", "-Wall", "-Wextra", source, "-o", directory / program, *options)


def fleet():
    """The release build's path; builds it only when it is missing."""
    program = REPOSITORY / ".build/dist/fleet"
    if not program.exists():
        run(REPOSITORY / "scripts/build-release")
    return program
