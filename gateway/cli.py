"""The program `gateway`: what its commands are called, what they take, and how they end.

Exit status: 0 done, 1 it did not work, 2 it was asked wrongly or settings are missing. What a command gives
goes to stdout, everything else to stderr. Each command imports what it needs by itself: help takes 50 ms.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version

from gateway.config import ConfigError, MissingSettings, Settings, load_settings

KINDS = ("partner", "reseller", "direct-customer")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXAMPLES = """\
examples:
  gateway serve --sandbox                  try it: needs no account, no Redis, no network
  gateway check && gateway serve           see that everything answers, then serve
  gateway serve --host 0.0.0.0 --workers 4
  gateway token --kind direct-customer --tenant-id <guid> --permissions READ

Settings are environment variables GATEWAY_…, or lines of a file .env: see docs/configuration.md.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        print(f"gateway: {_advice(error)}", file=sys.stderr)
        return 2
    return status


def _advice(error: ConfigError) -> str:
    if not isinstance(error, MissingSettings):
        return str(error)
    names = "\n".join(f"  {name}" for name in error.names)
    return (
        f"these settings are missing:\n{names}\n"
        "Set them in the environment or in a file .env (see docs/configuration.md),\n"
        "or try the gateway without an account: gateway serve --sandbox"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        usage="gateway [-h] [--version] <command> [options]",
        description="GraphQL gateway over Microsoft Partner Center.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gateway {version('partner-center-gateway')}")
    commands = parser.add_subparsers(title="commands", metavar="<command>", required=True, prog="gateway")

    serve = commands.add_parser(
        "serve",
        help="serve GraphQL over Partner Center, or over a sandbox of it",
        description="Serves GraphQL at /graphql, over the Partner Center that the settings name, "
        "or with --sandbox over a stand-in that needs no account, no Redis and no network.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="0 for a free one (default: %(default)s)")
    serve.add_argument("--workers", type=_at_least_one, default=1, metavar="N", help="processes (default: 1)")
    serve.add_argument("--sandbox", action="store_true", help="serve over a sandbox that is started with it")
    serve.add_argument(
        "--sandbox-port",
        type=_port,
        metavar="PORT",
        help="port of that sandbox (default: 8010, or a free one if it is taken)",
    )
    serve.set_defaults(run=_serve, parser=serve)

    sandbox = commands.add_parser(
        "sandbox",
        help="run the sandbox alone, and print the settings that reach it",
        description="Runs a stand-in for Partner Center and its token endpoint. Prints the settings that "
        "reach it, one a line, ready for a file .env.",
    )
    sandbox.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    sandbox.add_argument("--port", type=_port, default=8010, help="0 for a free one (default: %(default)s)")
    sandbox.add_argument("--tenants", type=_at_least_zero, default=0, metavar="N", help="tenants beside the named ones")
    sandbox.add_argument("--users", type=_at_least_zero, default=0, metavar="N", help="users in each of those tenants")
    sandbox.add_argument("--throttle", action="store_true", help="turn its rate limits on")
    sandbox.set_defaults(run=_sandbox)

    schema = commands.add_parser(
        "schema", help="print the GraphQL schema", description="Prints the GraphQL schema (SDL)."
    )
    schema.set_defaults(run=_schema)

    token = commands.add_parser(
        "token",
        help="print a caller's token for a gateway over a sandbox",
        description="Prints a bearer token signed by the sandbox's issuer. Nothing needs to run.",
    )
    token.add_argument("--kind", type=_kind, required=True, metavar="KIND", help=", ".join(KINDS))
    token.add_argument("--reseller-id", type=_guid, metavar="GUID", help="needed for a reseller")
    token.add_argument(
        "--tenant-id",
        type=_guid,
        action="append",
        metavar="GUID",
        help="needed for a direct customer, narrows the others; may be repeated",
    )
    token.add_argument("--permissions", metavar="NAME,…", help="such as READ,WRITE_USERS (default: all)")
    token.add_argument(
        "--expires-in",
        type=int,
        default=3600,
        metavar="SECONDS",
        help="may be negative (default: %(default)s)",
    )
    token.set_defaults(run=_token, parser=token)

    check = commands.add_parser(
        "check",
        help="see whether everything that the settings name answers",
        description="Gets an access token, asks Partner Center for one customer, and asks Redis, the mail "
        "server and the issuer of callers' tokens. Changes nothing; exit status 1 if one fails.",
    )
    check.set_defaults(run=_check)
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.sandbox and arguments.workers > 1:
        arguments.parser.error("--workers: a sandbox lives in one process, so --sandbox takes one worker only")
    if arguments.sandbox_port is not None and not arguments.sandbox:
        arguments.parser.error("--sandbox-port is for --sandbox only")
    settings = load_settings(sandbox=arguments.sandbox)
    _configure_logging(settings)

    from gateway.serving import CannotListen, serve, serve_with_sandbox

    try:
        if arguments.sandbox:
            return serve_with_sandbox(settings, arguments.host, arguments.port, arguments.sandbox_port)
        return serve(settings, arguments.host, arguments.port, workers=arguments.workers)
    except CannotListen as failure:
        print(f"gateway: {failure}", file=sys.stderr)
        return 1


def _sandbox(arguments: argparse.Namespace) -> int:
    from gateway.logs import configure_logging
    from gateway.serving import CannotListen, serve_sandbox

    configure_logging("info")
    try:
        return serve_sandbox(
            arguments.host,
            arguments.port,
            tenants=arguments.tenants,
            users=arguments.users,
            throttle=arguments.throttle,
        )
    except CannotListen as failure:
        print(f"gateway: {failure}", file=sys.stderr)
        return 1


def _schema(arguments: argparse.Namespace) -> int:
    from schema.build import printed

    sys.stdout.buffer.write(printed().rstrip("\n").encode() + b"\n")
    return 0


def _token(arguments: argparse.Namespace) -> int:
    if arguments.kind == "reseller" and arguments.reseller_id is None:
        arguments.parser.error("--kind reseller needs --reseller-id, the reseller's Microsoft tenant id")
    if arguments.kind == "direct-customer" and arguments.tenant_id is None:
        arguments.parser.error("--kind direct-customer needs --tenant-id, at least once")

    import time

    from sandbox.issuer import AUDIENCE, ISSUER, sign_token

    whose = arguments.reseller_id or ",".join(arguments.tenant_id or ["all"])
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"{arguments.kind}:{whose}"[:256],
        "name": f"Demo {arguments.kind.replace('-', ' ')}",
        # Without `iat`: the sandbox's clock can be moved on by weeks, and a day is the oldest a token may be.
        "exp": int(time.time()) + arguments.expires_in,
        "kind": arguments.kind,
        "permissions": _permissions(arguments.parser, arguments.permissions),
    }
    if arguments.reseller_id is not None:
        claims["reseller_id"] = arguments.reseller_id
    if arguments.tenant_id is not None:
        claims["tenant_ids"] = arguments.tenant_id
    print(sign_token(claims))
    return 0


def _permissions(parser: argparse.ArgumentParser, listed: str | None) -> list[str]:
    from services.authorization import Permission

    known = [each.value for each in Permission]
    if listed is None:
        return known
    names = [name for part in listed.split(",") if (name := part.strip())]
    for name in names:
        if name not in known:
            parser.error(f"argument --permissions: {name!r} is none of {', '.join(known)}")
    return names


def _check(arguments: argparse.Namespace) -> int:
    import asyncio

    settings = load_settings(sandbox=False)
    from gateway.check import check
    from gateway.logs import configure_logging

    configure_logging("error", settings.log_format)
    return 0 if asyncio.run(check(settings, sys.stdout)) else 1


def _configure_logging(settings: Settings) -> None:
    from gateway.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _at_least_one(text: str) -> int:
    return _number(text, 1, 256)


def _at_least_zero(text: str) -> int:
    return _number(text, 0, 1_000_000)


def _number(text: str, at_least: int, at_most: int) -> int:
    if not text.isascii() or not text.isdigit() or not at_least <= int(text) <= at_most:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number between {at_least} and {at_most}")
    return int(text)


def _kind(text: str) -> str:
    if text not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(KINDS)}")
    return text


def _guid(text: str) -> str:
    if not _GUID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no GUID, such as 11111111-2222-3333-4444-555555555555")
    return text.lower()
