"""Settings -> a running gateway, and everything undone in reverse when it ends.

The only place that knows all parts. Nothing happens at import; background tasks are started here, have a name and
end here.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from llm_gateway import __version__
from llm_gateway.alerts.courier import Courier
from llm_gateway.alerts.engine import Alerts, Here
from llm_gateway.background import keep_going
from llm_gateway.clock import Ids, SystemClock
from llm_gateway.config.load import Loaded, load
from llm_gateway.exposures import named
from llm_gateway.first_run import admin_token
from llm_gateway.fleet.attempts import Clocks
from llm_gateway.fleet.facts import Fact, ListedModel, ServerSpec
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.fleet.identity import Noticed
from llm_gateway.gateway import Gateway
from llm_gateway.last_known import LastKnown
from llm_gateway.learnt import Learnt
from llm_gateway.ledger.ballast import Ballast
from llm_gateway.ledger.journal import Journal
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.ledger.payloads import Payloads
from llm_gateway.ledger.retention import Housekeeping
from llm_gateway.ledger.shipper import Shipper
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.observe import logs
from llm_gateway.observe.metrics import Metrics
from llm_gateway.observe.tracing import tracing
from llm_gateway.observe.workers import my_slot
from llm_gateway.preparation import Preparation
from llm_gateway.roster import DEMO, Roster
from llm_gateway.running import Running
from llm_gateway.service.budgets import Budgets, sharing_limits
from llm_gateway.service.health import DeepHealth, figures, watch_states
from llm_gateway.settings import Settings, networks
from llm_gateway.shared.others import Alone, Others, Work
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.upstream.drive import Drive
from llm_gateway.upstream.guard import Guard
from llm_gateway.upstream.looks import Looks, user_agent
from llm_gateway.upstream.prober import Prober
from llm_gateway.upstream.transport import Limits, Transport

if TYPE_CHECKING:
    from llm_gateway.testing.demo import DemoServer

log = structlog.get_logger(__name__)


@asynccontextmanager
async def assemble(
    loaded: Loaded, *, demo: bool = False, serving: bool = True, worker: bool = False, parent: bool = False
) -> AsyncIterator[Running]:
    """Builds everything and runs the background tasks until the block ends.

    `worker`: one of several processes of a `parent`, which prepares the database for all of them and serves nothing.
    `serving=False` is for commands that work on the database without a server: no probing, no first project.
    Raises DatabaseTooNew, InvalidRequest (an impossible database URL), Conflict. A server starts also while its
    database is away (`Running.begin`); a command raises DatabaseUnavailable.
    """
    settings = loaded.settings
    clock = SystemClock()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database, data_dir=settings.data_dir)
        stack.push_async_callback(engine.dispose)
        sessions = Sessions(engine, ready=False)

        fleet_of_fakes = None
        if demo and serving:
            from llm_gateway.testing.demo import DemoFleet  # only here: a production start never loads it

            fleet_of_fakes = await stack.enter_async_context(DemoFleet())
        guard = _guard(settings, demo=demo)
        agent = user_agent(settings.public_url)
        transport = Transport(guard, limits=_limits(settings), now=clock.now, user_agent=agent)
        stack.push_async_callback(transport.aclose)

        token, token_file = admin_token(settings)
        metrics = Metrics(__version__, my_slot() if worker else None)
        stack.callback(metrics.carry)
        notice = _noticed(metrics)
        fleet = Fleet(random.random, told=lambda noticed: notice(noticed) if serving and not others.hearing else None)
        roster = Roster(sessions, fleet, clock, loaded.environ, settings.sources)
        if fleet_of_fakes is not None:
            roster.demo = [
                ServerSpec("", d.name, d.url, d.kind, d.trust, DEMO, models=_demo_models(d))
                for d in fleet_of_fakes.servers
            ]
        ids = Ids()
        me = ids().hex
        others: Others = Alone()
        if settings.redis_url is not None and serving and not demo:
            from llm_gateway.shared.together import Together  # only here: it brings Redis's client along

            url = settings.redis_url.get_secret_value()
            others = Together(url, me, fleet, lambda fact: drive.looked(fact), clock.now)
            stack.push_async_callback(others.leave)
        drive = Drive(fleet, transport, guard, clock, _clocks(settings), told=others.offer)
        journals = settings.data_dir / "journal"
        ledger = Ledger(
            Journal(journals / me),
            strict=settings.log_mode == "strict",
            ballast=Ballast(journals / "ballast") if serving else None,
        )
        shipper = Shipper(ledger, DatabaseStore(sessions, ledger.doubled))
        gateway = Gateway(
            clock,
            ids,
            fleet,
            drive,
            ledger,
            metrics,
            max_text=settings.max_body,
            max_tokens=settings.max_tokens,
            attempt_rows=settings.attempt_rows,
        )
        host = socket.gethostname()
        process = host if settings.workers == 1 else f"{host}/{os.getpid()}"
        here = Here(
            process,
            host,
            settings.data_dir,
            database_ok=lambda: running.database_ok,
            redis_up=None if settings.redis_url is None else lambda: others.up,
            leader=lambda: others.leads,
        )
        alerts = Alerts(gateway, sessions, Courier(transport, guard, clock, settings.public_url or host), here)
        alerts.configure(loaded.alerts)
        stack.push_async_callback(alerts.end)
        metrics.watch(lambda: replace(figures(gateway), alerts=alerts.firing()))
        if settings.redis_url is not None and serving:
            url = settings.redis_url.get_secret_value()
            most = settings.workers  # of this host: at a start without Redis nobody is heard of
            await stack.enter_async_context(sharing_limits(gateway, url, lambda: max(most, others.instances())))
        budgets = Budgets(gateway, sessions)
        prober = Prober(
            Looks(transport, guard, clock, settings.probes.timeout),
            fleet,
            _told(drive.looked, others.offer),
            clock,
            random.random,
            settings.probes.every,
            remember=roster.remember,
            exposed=lambda: named(gateway.snapshot),
        )
        running = Running(
            gateway,
            loaded,
            sessions,
            guard,
            roster,
            prober,
            others,
            DeepHealth(gateway),
            alerts,
            budgets,
            Preparation(loaded, sessions, roster, clock, serving or parent),
            LastKnown(settings.data_dir, settings.database, clock),
            Learnt(settings.data_dir, fleet, clock),
            token,
            token_file,
            fleet_of_fakes,
        )
        roster.changed = running.last_known.outdated
        if serving or parent:
            await running.begin()
        else:
            await running.preparation.run()
            await running.take_over()
        if serving:
            gateway.observers += await stack.enter_async_context(tracing(os.environ, __version__))
            shipping = asyncio.create_task(shipper.run(), name="ledger shipper")
            stack.push_async_callback(shipper.stop, shipping)
            gateway.payloads = Payloads(ledger, clock, settings.retention.payload_days)
            keeping = asyncio.create_task(gateway.payloads.run(), name="payloads")
            stack.push_async_callback(gateway.payloads.stop, keeping)
            days = settings.retention
            housekeeping = Housekeeping(
                sessions,
                ledger,
                clock,
                request_days=days.request_days,
                minute_days=days.minute_days,
                audit_days=days.audit_days,
            )
            tasks: dict[str, Work] = {
                **others.tasks(prober.run),
                "watch": running.watch,
                "keys": running.touch_keys,
                "budgets": budgets.run,
                "journal sync": ledger.sync,
                "server states": partial(watch_states, gateway, running.timeline),
                "alerts": alerts.run,
                "housekeeping": housekeeping.run,
                "recovery": partial(shipper.look_after if worker else shipper.recover, journals),
            }
            if worker:
                tasks["figures"] = running.note_figures
            if not demo:
                stack.callback(running.learnt.save)
                tasks["what was learnt"] = running.learnt.keep
            for name, work in tasks.items():
                _start(stack, name, work)
        yield running


@asynccontextmanager
async def from_environment() -> AsyncIterator[Running]:
    """For `uvicorn llm_gateway.main:app`: settings from environment, `.env` and LLM_GATEWAY_CONFIG."""
    loaded = load({}, environ=os.environ, cwd=Path.cwd())
    logs.setup(loaded.settings.log_level, loaded.settings.log_format)
    async with assemble(loaded) as running:
        yield running


def _start(stack: AsyncExitStack, name: str, work: Work) -> None:
    task = asyncio.create_task(keep_going(name, work), name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.wait((task,))

    stack.push_async_callback(end)


def _demo_models(server: DemoServer) -> tuple[ListedModel, ...]:
    return tuple(ListedModel(name, tokens_per_second=server.tokens_per_second) for name in server.models)


def _told(*heard: Callable[[Fact], None]) -> Callable[[Fact], None]:
    def tell(fact: Fact) -> None:
        for hear in heard:
            hear(fact)

    return tell


def _noticed(metrics: Metrics) -> Callable[[Noticed], None]:
    def tell(noticed: Noticed) -> None:
        told = {"server": noticed.name, "model": noticed.model, "reason": noticed.reason, "detail": noticed.detail}
        if noticed.out:
            metrics.quarantined(noticed.reason)
            log.warning("quarantined", **told)
        else:
            log.info("model_changed", **told)

    return tell


def _guard(settings: Settings, *, demo: bool) -> Guard:
    """The demo talks to loopback and to nothing else."""
    loopback = networks(("127.0.0.0/8", "::1/128"))
    if demo:
        return Guard(loopback, loopback)
    only = networks(settings.only_networks or ())
    return Guard(only, networks(settings.allow_private_upstreams))


def _clocks(settings: Settings) -> Clocks:
    times = settings.timeouts
    return Clocks(
        first_token_max=times.first_token,
        first_token_cold=times.first_token_cold,
        stall=times.stall,
        thinking=times.thinking,
        slow_span=times.slow,
        budget=times.budget,
        total=times.total,
    )


def _limits(settings: Settings) -> Limits:
    times = settings.timeouts
    return Limits(connect=times.connect, tls=times.tls, write=times.write, head=times.head)
