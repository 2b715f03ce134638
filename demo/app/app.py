"""A small job-automation service: what the demo deploys."""
import contextlib
import os
import sqlite3
import subprocess

from flask import Flask, jsonify

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "VERSION")) as file:
    VERSION = file.read().strip()


DATABASE = os.path.join(HERE, "instance", "jobs.sqlite3")


def checked_out_commit():
    """The commit that this process was started from, read once: a process that was not restarted
    cannot claim a newer one."""
    git = subprocess.run(
        ["git", "-C", HERE, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return git.stdout.strip()


COMMIT = checked_out_commit()


def database():
    """Whether the jobs' database can be written to."""
    try:
        os.makedirs(os.path.dirname(DATABASE), exist_ok=True)
        with contextlib.closing(sqlite3.connect(DATABASE)) as jobs, jobs:
            jobs.execute("CREATE TABLE IF NOT EXISTS job (name TEXT)")
        return "ok"
    except (OSError, sqlite3.Error):
        return "error"


def services():
    return {"database": database(), "scheduler": "ok"}


def create_app():
    app = Flask(__name__)

    @app.get("/health")
    def health():
        return jsonify(status="healthy", services=services())

    @app.get("/version")
    def version():
        return jsonify(version=VERSION, commit=COMMIT)

    return app


if __name__ == "__main__":
    create_app().run(host=os.environ.get("ADDRESS", "127.0.0.1"), port=int(os.environ["PORT"]))
