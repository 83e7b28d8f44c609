"""Programs that fail while they start, by real libraries and runtimes."""

from collections.abc import Mapping

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Provoked, Source

_PYPROJECT = (
    '[project]\nname = "notes"\nversion = "1.0.0"\nrequires-python = ">=3.11"\ndependencies = [{}]\n'
    '[project.scripts]\nnotes = "notes:main"\n[build-system]\nrequires = ["hatchling"]\n'
    'build-backend = "hatchling.build"\n'
)


def python(
    name: str,
    cause: LogCause,
    how: str,
    text: str,
    *,
    needs: str = "",
    source: Source = Source.DIRECTORY,
    environment: Mapping[str, str] | None = None,
) -> Provoked:
    """A project of one module, whose `main` is `text` in a function; `needs` are its dependencies."""
    body = text if "def main" in text else "def main():\n" + "".join(f"    {line}\n" for line in text.splitlines())
    dependencies = ", ".join(f'"{each}"' for each in needs.split())
    files = {"pyproject.toml": _PYPROJECT.format(dependencies), "notes.py": body}
    return Provoked(name=name, cause=cause, how=how, source=source, files=files, environment=environment or {})


def node(
    name: str,
    cause: LogCause,
    how: str,
    text: str,
    *,
    needs: str = "",
    source: Source = Source.DIRECTORY,
    environment: Mapping[str, str] | None = None,
) -> Provoked:
    """A project of one module; `needs` are its dependencies, NAME@VERSION."""
    pairs = ", ".join('"{}": "{}"'.format(*each.rsplit("@", 1)) for each in needs.split())
    package = (
        '{"name": "notes", "version": "1.0.0", "type": "module", "bin": "server.js", "dependencies": {' + pairs + "}}"
    )
    files = {"package.json": package, "server.js": text}
    return Provoked(name=name, cause=cause, how=how, source=source, files=files, environment=environment or {})


_PROCESSES = """\
import multiprocessing, sys
def main():
    context = multiprocessing.get_context('spawn')
    workers = [context.Process(target=work, args=(n,), name=f'worker-{n}') for n in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    sys.exit(max(each.exitcode for each in workers))
def work(n):
    print(f'[worker-{n}] started', file=sys.stderr, flush=True)
    if n == 1:
        raise LookupError('no index for shard 1')
"""
_NOTICES = """\
import sys, warnings
import requests
def main():
    warnings.warn('notes 1.x is deprecated', DeprecationWarning)
    print('This software is licensed under the AGPL.', file=sys.stderr)
    print('A license key is not required for personal use.', file=sys.stderr)
    print('Telemetry is enabled. Set NOTES_TELEMETRY=0 to opt out.', file=sys.stderr)
    print('A new version is available: 2.0.0 (you have 1.0.0)', file=sys.stderr)
    requests.get('{401}/v1/me').raise_for_status()
"""

PROGRAMS = (
    python(
        "py-openai-key", LogCause.BAD_TOKEN, "the OpenAI library with a key that the service refuses",
        "from openai import OpenAI\nclient = OpenAI(base_url='{401}/v1', api_key='wrong-key')\nclient.models.list()",
        needs="openai==1.58.1",
    ),
    python(
        "py-aiohttp-403", LogCause.BAD_TOKEN, "aiohttp against a service that forbids",
        "import asyncio\nimport aiohttp\nasync def look():\n    async with "
        "aiohttp.ClientSession(raise_for_status=True) as session:\n        await "
        "session.get('{403}/v1/me')\nasyncio.run(look())",
        needs="aiohttp==3.11.11",
    ),
    node(
        "node-octokit-401", LogCause.BAD_TOKEN, "Octokit against a service that refuses",
        "import {Octokit} from '@octokit/rest';\n"
        "await new Octokit({auth: 'wrong', baseUrl: '{401}'}).rest.users.getAuthenticated();\n",
        needs="@octokit/rest@21.0.2",
    ),
    node(
        "node-axios-401", LogCause.BAD_TOKEN, "axios against a service that refuses",
        "import axios from 'axios';\nconst me = await axios.get('{401}/me');\nconsole.error(me.data);\n",
        needs="axios@1.7.9",
    ),
    node(
        "node-token-handled", LogCause.BAD_TOKEN, "the program tells of the 401 by itself",
        "const answer = await fetch('{401}/me');\nif (answer.status === 401) {\n"
        "  console.error('[fatal] Authentication failed. Check your API token and try again.');\n  "
        "process.exit(1);\n}\n",
    ),
    python(
        "py-pydantic-settings", LogCause.MISSING_VARIABLE, "pydantic-settings without its variables",
        "from pydantic_settings import BaseSettings\nclass Settings(BaseSettings):\n    wiki_url: str\n"
        "    wiki_token: str\nSettings()",
        needs="pydantic-settings==2.7.0",
    ),
    node(
        "node-zod-env", LogCause.MISSING_VARIABLE, "zod reads the environment and misses a name",
        "import {z} from 'zod';\nconst Environment = z.object({WIKI_URL: z.string().url(), WIKI_TOKEN: "
        "z.string()});\n"
        "Environment.parse(process.env);\n",
        needs="zod@3.25.76", source=Source.GIT,
    ),
    node(
        "node-envalid", LogCause.MISSING_VARIABLE, "envalid misses a name",
        "import {cleanEnv, str} from 'envalid';\ncleanEnv(process.env, {WIKI_TOKEN: str()});\n", needs="envalid@8.0.0",
    ),
    python(
        "py-environs", LogCause.MISSING_VARIABLE, "environs misses a name",
        "from environs import Env\nEnv().str('WIKI_TOKEN')", needs="environs==11.2.1",
    ),
    python(
        "py-decouple", LogCause.MISSING_VARIABLE, "python-decouple misses a name",
        "from decouple import config\nconfig('WIKI_TOKEN')", needs="python-decouple==3.8",
    ),
    python(
        "py-variable-json-log", LogCause.MISSING_VARIABLE, "a name is missing, told as JSON among much telemetry",
        "import json, sys\nfor n in range(40):\n    print(json.dumps({'level': 'info', 'msg': f'telemetry span "
        "{n} exported', 'service': 'notes'}), file=sys.stderr)\nprint(json.dumps({'level': 'error', 'msg': "
        "'WIKI_TOKEN is not set', 'service': 'notes'}), file=sys.stderr)\nprint(json.dumps({'level': 'info', "
        "'msg': 'telemetry: error report queued'}), file=sys.stderr)\nsys.exit(1)",
    ),
    node(
        "node-variable-ansi", LogCause.MISSING_VARIABLE, "a name is missing, told in colours and with Windows "
            "line ends",
        "process.stderr.write('\\x1b[2m[12:00:01]\\x1b[0m \\x1b[31m\\x1b[1mERROR\\x1b[22m\\x1b[39m "
        "\\x1b[33mWIKI_TOKEN\\x1b[39m environment variable is \\x1b[4mrequired\\x1b[24m\\r\\n');\nprocess.exit(1);\n",
    ),
    node(
        "node-variable-german", LogCause.MISSING_VARIABLE, "a name is missing, told in German",
        "console.error('Fehler: Umgebungsvariable WIKI_TOKEN fehlt. Bitte setzen und neu "
        "starten.');\nprocess.exit(1);\n",
    ),
    python(
        "py-variable-chinese", LogCause.MISSING_VARIABLE, "a name is missing, told in Chinese",
        "import sys\nprint('错误：未设置环境变量 WIKI_TOKEN，请先配置后重试', file=sys.stderr)\nsys.exit(1)",  # noqa: RUF001  # What a Chinese program writes.
    ),
    python(
        "py-click-missing", LogCause.MISSING_ARGUMENTS, "click misses an option",
        "import click\n@click.command()\n@click.option('--workspace', required=True)\ndef run(workspace):\n    "
        "pass\nrun()",
        needs="click==8.1.8",
    ),
    python(
        "py-typer-missing", LogCause.MISSING_ARGUMENTS, "typer misses an argument",
        "import typer\ndef run(workspace: str):\n    pass\ntyper.run(run)", needs="typer==0.20.0 click==8.1.8",
    ),
    node(
        "node-commander-missing", LogCause.MISSING_ARGUMENTS, "commander misses an option",
        "import {program} from 'commander';\nprogram.requiredOption('--workspace <folder>').parse();\n",
        needs="commander@12.1.0", source=Source.GIT,
    ),
    node(
        "node-yargs-missing", LogCause.MISSING_ARGUMENTS, "yargs misses an option",
        "import yargs from 'yargs';\nimport {hideBin} from 'yargs/helpers';\n"
        "yargs(hideBin(process.argv)).option('workspace', {demandOption: true}).parseSync();\n",
        needs="yargs@17.7.2",
    ),
    node(
        "node-express-port", LogCause.PORT_IN_USE, "express on a port that is in use",
        "import express from 'express';\nexpress().listen({taken}, '127.0.0.1');\n", needs="express@4.21.2",
    ),
    python(
        "py-fastmcp-drift", LogCause.CRASH_LOOP, "an SDK of last year with a dependency of this one",
        "from mcp.server.fastmcp import FastMCP\nFastMCP('notes', host='127.0.0.1', port={taken})"
        ".run(transport='streamable-http')",
        needs="mcp==1.9.4",
    ),
    python(
        "py-numpy-memory", LogCause.OUT_OF_MEMORY, "numpy asks for 7 TiB",
        "import numpy\nnumpy.ones((1000, 1000, 1000, 1000))", needs="numpy==2.2.1",
    ),
    node(
        "node-heap", LogCause.OUT_OF_MEMORY, "a list that grows without end",
        "const kept = [];\nfor (;;) kept.push(new Array(10000).fill({}));\n",
        environment={"NODE_OPTIONS": "--max-old-space-size=40"},
    ),
    python(
        "py-killed-child", LogCause.OUT_OF_MEMORY, "the system kills it for its memory",
        "import os, signal, sys\nprint('loading the model', file=sys.stderr, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
    ),
    python(
        "py-dns", LogCause.SERVICE_UNREACHABLE, "requests to a name that is in no DNS",
        "import requests\nrequests.get('http://wiki.acme.invalid/api')", needs="requests==2.32.3",
    ),
    node(
        "node-dns", LogCause.SERVICE_UNREACHABLE, "fetch from a name that is in no DNS",
        "await fetch('http://wiki.acme.invalid/api');\n",
    ),
    python(
        "py-tls", LogCause.SERVICE_UNREACHABLE, "httpx to a service with a certificate of its own",
        "import httpx\nhttpx.get('{tls}/api')", needs="httpx==0.28.1",
    ),
    node(
        "node-tls", LogCause.SERVICE_UNREACHABLE, "fetch from a service with a certificate of its own",
        "await fetch('{tls}/api');\n",
    ),
    python(
        "py-redis-closed", LogCause.SERVICE_UNREACHABLE, "redis where nobody listens",
        "import redis\nredis.Redis(port={closed}).ping()", needs="redis==5.2.1",
    ),
    node(
        "node-pg-closed", LogCause.SERVICE_UNREACHABLE, "PostgreSQL where nobody listens",
        "import pg from 'pg';\nconst client = new pg.Client({host: '127.0.0.1', port: {closed}});\n"
        "await client.connect();\n",
        needs="pg@8.13.1",
    ),
    python(
        "py-read-timeout", LogCause.TIMEOUT, "httpx from a service that keeps silent",
        "import httpx\nhttpx.get('{silent}/api', timeout=2)", needs="httpx==0.28.1",
    ),
    node(
        "node-axios-timeout", LogCause.TIMEOUT, "axios from a service that keeps silent",
        "import axios from 'axios';\nawait axios.get('{silent}/api', {timeout: 2000});\n", needs="axios@1.7.9",
    ),
    python(
        "py-silent", LogCause.TIMEOUT, "the program reads nothing and answers nothing",
        "import time\ntime.sleep(1000)",
    ),
    python(
        "py-read-only", LogCause.PERMISSION_DENIED, "it writes to a file system that is read only",
        "import pathlib\npathlib.Path('/sys/notes.db').write_text('x')",
    ),
    node(
        "node-permission", LogCause.PERMISSION_DENIED, "it binds a port below the ones it may, as nobody",
        "import {readFileSync} from 'node:fs';\nprocess.setgid(65534); process.setuid(65534);\n"
        "readFileSync('/etc/shadow');\n",
    ),
    python(
        "py-disk-full", LogCause.DISK_FULL, "the disk has no space left",
        "with open('/dev/full', 'w') as file:\n    file.write('x' * 100000)",
    ),
    node(
        "node-disk-full", LogCause.DISK_FULL, "the disk has no space left",
        "import {writeFileSync} from 'node:fs';\nwriteFileSync('/dev/full', 'x'.repeat(100000));\n", source=Source.GIT,
    ),
    python(
        "py-library-missing", LogCause.RUNTIME_UNAVAILABLE, "a wheel without its system library",
        "import pyodbc", needs="pyodbc==5.2.0",
    ),
    python(
        "py-library-name", LogCause.RUNTIME_UNAVAILABLE, "a program looks for a system library by its name",
        "from pyzbar import pyzbar\npyzbar.decode(None)", needs="pyzbar==0.1.9",
    ),
    node(
        "node-too-old", LogCause.RUNTIME_UNAVAILABLE, "a module of a newer Node",
        "import {DatabaseSync} from 'node:sqlite';\nnew DatabaseSync(':memory:');\n",
    ),
    python(
        "py-syntax", LogCause.CRASH_LOOP, "a syntax error", "def main():\n    print('x'\n\ndef other():\n    pass\n",
    ),
    python(
        "py-module-missing", LogCause.CRASH_LOOP, "a library that it does not name as a dependency",
        "import yaml\nyaml.safe_load('')", source=Source.GIT,
    ),
    node(
        "node-module-missing", LogCause.CRASH_LOOP, "a library that it does not name as a dependency",
        "import dotenv from 'dotenv';\ndotenv.config();\n", source=Source.GIT,
    ),
    python(
        "py-sdk-drift", LogCause.CRASH_LOOP, "a call that the SDK has no more",
        "from mcp.server import Server\nServer('notes').run_stdio()", needs="mcp==1.9.4",
    ),
    node(
        "node-crash-late", LogCause.CRASH_LOOP, "an unhandled rejection after some log lines in JSON",
        "for (const n of [1, 2, 3]) console.error(JSON.stringify({level: 30, msg: `plugin ${n} loaded`}));\n"
        "const settings = JSON.parse('{\"workspace\": }');\n",
    ),
    python(
        "py-truncated", LogCause.CRASH_LOOP, "a recursion whose traceback is longer than what is kept",
        "import sys\nsys.setrecursionlimit(900)\ndef walk(n):\n    try:\n        return walk(n + 1)\n    except "
        "RecursionError as error:\n        raise ValueError(f'too deep at {n}') from None\nwalk(0)",
    ),
    python(
        "py-processes", LogCause.CRASH_LOOP, "a worker of several fails, and the others say so", _PROCESSES,
    ),
    node(
        "node-stdout-banner", LogCause.NOT_AN_MCP_SERVER, "it greets on standard output and waits for people",
        "console.log('Welcome to notes!');\nconsole.log('Type help for help.');\nprocess.stdin.resume();\n"
        "process.stdin.on('data', () => console.log('unknown command'));\n",
    ),
    python(
        "py-ends-well", LogCause.NOT_AN_MCP_SERVER, "it does its work and ends",
        "print('3 notes were indexed')", source=Source.GIT,
    ),
    python(
        "py-licence-noise", LogCause.BAD_TOKEN, "a refused key among notices of licence, telemetry and deprecation",
        _NOTICES, needs="requests==2.32.3",
    ),
)  # fmt: skip
