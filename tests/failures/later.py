"""Failures that were recorded after the patterns were mended by the held-out ones, to see it once more."""

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Provoked, Source
from tests.failures.seen_programs import node, python

_MISSING = LogCause.MISSING_VARIABLE


def _without(package: str, source: Source = Source.NPM) -> Provoked:
    name = package.rpartition("@")[0].strip("@").replace("/", "-") + "-bare"
    return Provoked(name=name, cause=_MISSING, how="started without its variables", source=source, package=package)


LATER = (
    _without("@modelcontextprotocol/server-gdrive@2025.1.14"),
    Provoked(
        name="jira-mcp-bare", cause=LogCause.RUNTIME_UNAVAILABLE,
        how="a Python that is neither here nor in reach", source=Source.PYPI, package="jira-mcp@0.1.4",
    ),
    Provoked(
        name="zabbix-mcp-server-bare", cause=LogCause.PACKAGE_NOT_FOUND,
        how="a name under which there is nothing", source=Source.PYPI, package="zabbix-mcp-server@1.0.0",
    ),
    Provoked(
        name="mcp-server-mysql-bare", cause=LogCause.RUNTIME_UNAVAILABLE,
        how="a Python that is neither here nor in reach", source=Source.PYPI, package="mcp-server-mysql@0.1.4",
    ),
    Provoked(
        name="notion-mcp-bare", cause=LogCause.RUNTIME_UNAVAILABLE,
        how="a Python that is neither here nor in reach", source=Source.PYPI, package="notion-mcp@0.2.2",
    ),
    Provoked(
        name="memory-unknown-version", cause=LogCause.VERSION_NOT_FOUND, how="a version from the future",
        source=Source.NPM, package="@modelcontextprotocol/server-memory@2031.1.1",
    ),
    Provoked(
        name="pypi-unknown-later", cause=LogCause.PACKAGE_NOT_FOUND, how="a name that nobody has", source=Source.PYPI,
        package="catwalk-wiki-server-nobody-has@2.0.0",
    ),
    Provoked(
        name="pypi-typing-extensions", cause=LogCause.NO_EXECUTABLE, how="a library", source=Source.PYPI,
        package="typing-extensions@4.12.2",
    ),
    node(
        "node-dotenv-safe", _MISSING, "dotenv-safe misses a name that the example has",
        "import {load} from 'dotenv-extended';\nload({errorOnMissing: true, schema: new URL('./.env.schema', "
        "import.meta.url).pathname});\nif (!process.env.ARCHIVE_URL) throw new Error('config: ARCHIVE_URL is "
        "unset');\n",
        needs="dotenv-extended@2.9.0",
    ),
    node(
        "node-env-var", _MISSING, "env-var misses a name",
        "import env from 'env-var';\nenv.get('ARCHIVE_TOKEN').required().asString();\n", needs="env-var@7.5.0",
    ),
    python(
        "py-dynaconf", _MISSING, "dynaconf misses a setting",
        "from dynaconf import Dynaconf, Validator\nDynaconf(envvar_prefix='NOTES', "
        "validators=[Validator('ARCHIVE_TOKEN', "
        "must_exist=True)]).validators.validate()",
        needs="dynaconf==3.2.6",
    ),
    python(
        "py-assert-variable", _MISSING, "an assertion about a name",
        "import os\nassert os.getenv('ARCHIVE_TOKEN'), 'set ARCHIVE_TOKEN first'",
    ),
    python(
        "py-requests-403", LogCause.BAD_TOKEN, "requests against a service that forbids",
        "import requests\nrequests.get('{403}/v1/me').raise_for_status()", needs="requests==2.32.3",
    ),
    node(
        "node-superagent-401", LogCause.BAD_TOKEN, "superagent against a service that refuses",
        "import request from 'superagent';\nawait request.get('{401}/me');\n", needs="superagent@10.1.1",
    ),
    node(
        "node-koa-port", LogCause.PORT_IN_USE, "koa on a port that is in use",
        "import Koa from 'koa';\nnew Koa().listen({taken}, '127.0.0.1');\n", needs="koa@2.15.3",
    ),
    python(
        "py-uvicorn-port", LogCause.PORT_IN_USE, "uvicorn on a port that is in use",
        "import uvicorn\nasync def app(scope, receive, send):\n    pass\n"
        "uvicorn.run(app, host='127.0.0.1', port={taken})",
        needs="uvicorn==0.34.0",
    ),
    node(
        "node-buffer-memory", LogCause.OUT_OF_MEMORY, "strings beyond the heap",
        "let text = 'x';\nconst kept = [];\nfor (;;) { text += 'y'; kept.push(Array.from(text.repeat(200))); }\n",
        environment={"NODE_OPTIONS": "--max-old-space-size=32"},
    ),
    python(
        "py-urllib-dns", LogCause.SERVICE_UNREACHABLE, "urllib to a name that is in no DNS",
        "import urllib.request\nurllib.request.urlopen('http://archive.acme.invalid/')",
    ),
    python(
        "py-psycopg-closed", LogCause.SERVICE_UNREACHABLE, "PostgreSQL where nobody listens",
        "import psycopg\npsycopg.connect('host=127.0.0.1 port={closed} user=notes')", needs="psycopg[binary]==3.2.3",
    ),
    node(
        "node-mysql2-closed", LogCause.SERVICE_UNREACHABLE, "MySQL where nobody listens",
        "import mysql from 'mysql2/promise';\nawait mysql.createConnection({host: '127.0.0.1', port: {closed}});\n",
        needs="mysql2@3.11.5",
    ),
    python(
        "py-requests-timeout", LogCause.TIMEOUT, "requests from a service that keeps silent",
        "import requests\nrequests.get('{silent}/api', timeout=2)", needs="requests==2.32.3",
    ),
    node(
        "node-got-timeout", LogCause.TIMEOUT, "got from a service that keeps silent",
        "import got from 'got';\nawait got('{silent}/api', {timeout: {request: 2000}, retry: {limit: 0}});\n",
        needs="got@14.4.5",
    ),
    node(
        "node-append-denied", LogCause.PERMISSION_DENIED, "it writes where nobody may",
        "import {appendFile} from 'node:fs/promises';\nprocess.setuid(65534);\nawait "
        "appendFile('/etc/hosts.notes', 'x');\n",
    ),
    python(
        "py-copy-full", LogCause.DISK_FULL, "a copy onto a full disk",
        "import shutil\nshutil.copyfile('/etc/services', '/dev/full')",
    ),
    python(
        "py-library-zmq", LogCause.RUNTIME_UNAVAILABLE, "a library of the system that is not there",
        "import ctypes\nctypes.CDLL('libgdal.so.32')",
    ),
    node(
        "node-addon-missing", LogCause.INSTALL_FAILED, "a native module that was never built",
        "import Database from 'better-sqlite3';\nnew Database(':memory:');\n", needs="better-sqlite3@11.7.0",
    ),
    python(
        "py-argparse-required", LogCause.MISSING_ARGUMENTS, "argparse misses an option",
        "import argparse\nparser = argparse.ArgumentParser('notes')\nparser.add_argument('--workspace', "
        "required=True)\n"
        "parser.parse_args([])",
    ),
    node(
        "node-parse-args", LogCause.MISSING_ARGUMENTS, "parseArgs is given an option that it does not know",
        "import {parseArgs} from 'node:util';\nparseArgs({args: ['--colour'], options: {workspace: {type: "
        "'string'}}});\n",
    ),
    python(
        "py-circular", LogCause.CRASH_LOOP, "it reads a file that it does not bring",
        "import json, pathlib\njson.loads(pathlib.Path(__file__).with_name('schema.json').read_text())",
    ),
    node(
        "node-throw-text", LogCause.CRASH_LOOP, "it throws a text",
        "console.error('indexing 12 notes');\nthrow 'the index is damaged';\n",
    ),
    node(
        "node-asserts", LogCause.CRASH_LOOP, "an assertion fails", "import assert from 'node:assert';\n"
        "assert.equal([1, 2].length, 3, 'three shards are expected');\n",
    ),
    python(
        "py-prints-json", LogCause.NOT_AN_MCP_SERVER, "it prints JSON that is no MCP and ends",
        "import json\nprint(json.dumps({'notes': 3}))",
    ),
)  # fmt: skip
