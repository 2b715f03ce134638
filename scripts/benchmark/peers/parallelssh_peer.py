"""parallel-ssh as a script would use it: its own client over gevent and libssh2. It has no check
of host keys, which spares it some work."""
import json
import sys

from gevent import joinall
from pssh.clients import ParallelSSHClient

with open(sys.argv[1]) as file:
    task = json.load(file)
client = ParallelSSHClient(
    task["hosts"],
    user="root",
    port=task["port"],
    pkey=task["key"],
    pool_size=task["parallel"],
    allow_agent=False,
    identity_auth=False,
)
if task["source"]:
    joinall(client.scp_send(task["source"], task["destination"]), raise_error=True)
for command in task["commands"]:
    outputs = client.run_command(command)
    for output in outputs:
        for line in output.stdout:
            sys.stdout.write(line + "\n")
    client.join(outputs)
    if any(output.exit_code != 0 for output in outputs):
        sys.exit(1)
