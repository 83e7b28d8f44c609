"""Programs by libraries that the patterns were not made by."""

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Source
from tests.failures.seen_programs import node, python

PROGRAMS = (
    python(
        "boto3-credentials", LogCause.MISSING_VARIABLE, "boto3 without credentials",
        "import boto3\nboto3.client('s3', region_name='eu-west-1', endpoint_url='{ok}').list_buckets()",
        needs="boto3==1.35.90", environment={"AWS_EC2_METADATA_DISABLED": "true"},
    ),
    python(
        "google-credentials", LogCause.MISSING_VARIABLE, "google-auth without credentials",
        "import google.auth\ngoogle.auth.default()", needs="google-auth==2.37.0",
        environment={"NO_GCE_CHECK": "true"},
    ),
    python(
        "py-variable-loguru", LogCause.MISSING_VARIABLE, "a name is missing, told by loguru",
        "import os, sys\nfrom loguru import logger\nlogger.info('starting')\n"
        "if 'NOTES_DSN' not in os.environ:\n    logger.critical('NOTES_DSN must be set to reach the archive')\n"
        "    sys.exit(3)",
        needs="loguru==0.7.3",
    ),
    node(
        "node-variable-winston", LogCause.MISSING_VARIABLE, "a name is missing, told by winston as JSON",
        "import winston from 'winston';\nconst log = winston.createLogger({transports: [new "
        "winston.transports.Console("
        "{stderrLevels: ['error', 'info']})]});\nlog.info('starting');\n"
        "if (!process.env.NOTES_DSN) { log.error('Required configuration NOTES_DSN is missing'); "
        "process.exitCode = 1; }\n",
        needs="winston@3.17.0",
    ),
    node(
        "node-variable-french", LogCause.MISSING_VARIABLE, "a name is missing, told in French",
        "console.error(\"Erreur : la variable d'environnement NOTES_DSN n'est pas définie.\");\nprocess.exit(1);\n",
    ),
    node(
        "node-variable-spanish", LogCause.MISSING_VARIABLE, "a name is missing, told in Spanish",
        "console.error('Error: falta la variable de entorno NOTES_DSN');\nprocess.exit(1);\n",
    ),
    python(
        "pygithub-401", LogCause.BAD_TOKEN, "PyGithub against a service that refuses",
        "from github import Auth, Github\nGithub(auth=Auth.Token('wrong'), base_url='{401}').get_user().login",
        needs="PyGithub==2.5.0",
    ),
    node(
        "node-got-403", LogCause.BAD_TOKEN, "got against a service that forbids",
        "import got from 'got';\nawait got('{403}/v1/me');\n", needs="got@14.4.5",
    ),
    node(
        "node-anthropic-401", LogCause.BAD_TOKEN, "the Anthropic library with a key that is refused",
        "import Anthropic from '@anthropic-ai/sdk';\nconst client = new Anthropic({apiKey: 'wrong', baseURL: "
        "'{401}'});\n"
        "await client.models.list();\n",
        needs="@anthropic-ai/sdk@0.39.0",
    ),
    python(
        "pymysql-closed", LogCause.SERVICE_UNREACHABLE, "MySQL where nobody listens",
        "import pymysql\npymysql.connect(host='127.0.0.1', port={closed}, user='notes')", needs="PyMySQL==1.1.1",
    ),
    python(
        "sqlalchemy-dns", LogCause.SERVICE_UNREACHABLE, "PostgreSQL by a name that is in no DNS",
        "import sqlalchemy\nsqlalchemy.create_engine('postgresql+pg8000://u:p@db.acme.invalid/notes').connect()",
        needs="sqlalchemy==2.0.36 pg8000==1.31.2",
    ),
    node(
        "node-redis-closed", LogCause.SERVICE_UNREACHABLE, "redis where nobody listens",
        "import {createClient} from 'redis';\nawait createClient({url: 'redis://127.0.0.1:{closed}'}).connect();\n",
        needs="redis@4.7.0",
    ),
    node(
        "node-undici-tls", LogCause.SERVICE_UNREACHABLE, "undici to a certificate of its own",
        "import {request} from 'undici';\nawait request('{tls}/api');\n", needs="undici@6.21.0",
    ),
    python(
        "aiohttp-port", LogCause.PORT_IN_USE, "aiohttp on a port that is in use",
        "from aiohttp import web\nweb.run_app(web.Application(), host='127.0.0.1', port={taken})",
        needs="aiohttp==3.11.11",
    ),
    node(
        "fastify-port", LogCause.PORT_IN_USE, "fastify on a port that is in use",
        "import fastify from 'fastify';\nawait fastify({logger: true}).listen({host: '127.0.0.1', port: {taken}});\n",
        needs="fastify@5.2.0",
    ),
    node(
        "node-worker-memory", LogCause.OUT_OF_MEMORY, "a worker thread beyond its memory",
        "import {Worker} from 'node:worker_threads';\nnew Worker('const a = []; for (;;) a.push(new "
        "Array(1e5).fill({}))',"
        " {eval: true, resourceLimits: {maxOldGenerationSizeMb: 16}});\n",
    ),
    python(
        "py-limit-memory", LogCause.OUT_OF_MEMORY, "a limit on its memory",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\nlist(range(10**9))",
    ),
    python(
        "httpx-pool-timeout", LogCause.TIMEOUT, "aiohttp from a service that keeps silent",
        "import asyncio, aiohttp\nasync def look():\n    async with "
        "aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) "
        "as session:\n        await session.get('{silent}/api')\nasyncio.run(look())",
        needs="aiohttp==3.11.11",
    ),
    node(
        "node-abort-timeout", LogCause.TIMEOUT, "a fetch that is given up after two seconds",
        "await fetch('{silent}/api', {signal: AbortSignal.timeout(2000)});\n", source=Source.GIT,
    ),
    python(
        "py-mkdir-system", LogCause.PERMISSION_DENIED, "it makes a folder where nobody may",
        "import os\nos.setuid(65534)\nos.makedirs('/etc/notes')",
    ),
    node(
        "node-mkdir-system", LogCause.PERMISSION_DENIED, "it makes a folder where nobody may",
        "import {mkdirSync} from 'node:fs';\nprocess.setuid(65534);\nmkdirSync('/etc/notes');\n",
    ),
    python(
        "py-sqlite-full", LogCause.DISK_FULL, "the disk has no space left while it logs",
        "import logging, os\nos.write(os.open('/dev/full', os.O_WRONLY), b'x')", source=Source.GIT,
    ),
    python(
        "sounddevice-library", LogCause.RUNTIME_UNAVAILABLE, "sounddevice without PortAudio",
        "import sounddevice", needs="sounddevice==0.5.1",
    ),
    node(
        "node-program-missing", LogCause.RUNTIME_UNAVAILABLE, "it starts a program that is not there",
        "import {spawn} from 'node:child_process';\nspawn('pandoc-that-is-not-there', ['--version']);\n",
    ),
    python(
        "py-choice", LogCause.MISSING_ARGUMENTS, "argparse wants one of some words",
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('mode', choices=['read', "
        "'write'])\n"
        "parser.parse_args(['serve'])",
    ),
    python(
        "py-fire", LogCause.MISSING_ARGUMENTS, "fire misses an argument",
        "import fire\nfire.Fire(lambda workspace: workspace)", needs="fire==0.7.0",
    ),
    node(
        "node-cac", LogCause.MISSING_ARGUMENTS, "cac is given an option that it does not know",
        "import cac from 'cac';\nconst cli = cac('notes');\ncli.command('', 'serve').action(() => {});\n"
        "cli.parse([...process.argv, '--colour']);\n",
        needs="cac@6.7.14",
    ),
    node(
        "node-typescript", LogCause.CRASH_LOOP, "it imports a file that is not there",
        "await import('./plugin.ts');\n",
    ),
    python(
        "py-segfault", LogCause.CRASH_LOOP, "it reads memory that is not its own", "import "
            "ctypes\nctypes.string_at(0)",
    ),
    node(
        "node-optional-remark", LogCause.CRASH_LOOP, "a remark about an optional key before what really fails",
        "console.error('[notes] NOTES_API_KEY not set, semantic search is disabled');\n"
        "console.error('[notes] loading plugins');\nconst plugin = undefined;\nplugin.register();\n",
    ),
)  # fmt: skip
