"""asyncssh as a script would use it: one event loop, one connection per host."""
import asyncio
import json
import sys

import asyncssh

with open(sys.argv[1]) as file:
    task = json.load(file)
options = {
    "port": task["port"],
    "username": "root",
    "client_keys": [asyncssh.read_private_key(task["key"])],
    "known_hosts": asyncssh.read_known_hosts(task["known_hosts"]),
    "agent_path": None,
    "config": None,
}


async def work(connection):
    if task["source"]:
        async with connection.start_sftp_client() as sftp:
            await sftp.put(task["source"], task["destination"])
    for command in task["commands"]:
        result = await connection.run(command, encoding=None, check=True)
        sys.stdout.buffer.write(result.stdout)
        sys.stderr.buffer.write(result.stderr)


async def serve(host, slots):
    async with slots:
        try:
            async with asyncssh.connect(host, **options) as connection:
                await work(connection)
            return True
        except (OSError, asyncssh.Error) as error:
            print(host, error, file=sys.stderr)
            return False


async def main():
    slots = asyncio.Semaphore(task["parallel"])
    return all(await asyncio.gather(*(serve(host, slots) for host in task["hosts"])))


sys.exit(0 if asyncio.run(main()) else 1)
