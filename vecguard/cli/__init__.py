"""The `vecguard` command; one module a subcommand."""

from __future__ import annotations

import typer

from vecguard.cli.access import access_app
from vecguard.cli.admin import admin_app, status
from vecguard.cli.alerts import alerts_app
from vecguard.cli.audit import audit_app
from vecguard.cli.canaries import canaries_app
from vecguard.cli.demo import demo
from vecguard.cli.engine import engine
from vecguard.cli.init import init
from vecguard.cli.jobs import jobs_app
from vecguard.cli.keys import keys_app
from vecguard.cli.migrate import migrate
from vecguard.cli.policy import policy_app
from vecguard.cli.principals import principals_app
from vecguard.cli.replay import replay
from vecguard.cli.retention import retention_app
from vecguard.cli.serve import serve
from vecguard.cli.trail import trail_app
from vecguard.cli.tune import tune
from vecguard.cli.verify import verify

app = typer.Typer(
    name="vecguard",
    help="A privacy proxy for vector databases.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(demo)
app.command()(init)
app.command()(engine)
app.command()(verify)
app.command()(migrate)
app.command()(tune)
app.command()(replay)
app.add_typer(policy_app, name="policy")
app.add_typer(access_app, name="access")
app.command()(status)
admin_app.add_typer(jobs_app)
app.add_typer(admin_app, name="admin")
app.add_typer(alerts_app, name="alerts")
app.add_typer(principals_app, name="principals")
app.add_typer(audit_app, name="audit")
app.add_typer(canaries_app, name="canaries")
app.add_typer(keys_app, name="keys")
app.add_typer(retention_app, name="retention")
app.add_typer(trail_app, name="trail")

__all__ = ["app"]
