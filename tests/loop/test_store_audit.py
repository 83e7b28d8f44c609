"""The audit in the store: read backwards by what is asked for, and kept in bounds kind by kind."""

from datetime import timedelta

import pytest

from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditQuery, AuditResult
from reconciler.loop.store import audit, open_store


@pytest.fixture
async def store(tmp_path, world, database_url):
    opened = await open_store(tmp_path / "state", world.clock, url=database_url)
    yield opened
    opened.close()


def line(world, number: int, **more: object) -> AuditLine:
    given = {"kind": AuditKind.CALL, "who": "anna", "result": AuditResult.OK, "server": "time", "tool": f"t{number}"}
    deed = AuditDeed(**{**given, **more})
    return AuditLine(at=world.clock.now() + timedelta(seconds=number), deed=deed, times=number, slowest_ms=1.5)


async def test_lines_come_back_as_they_were_newest_first(store, world):
    written = [line(world, number, detail="unauthenticated", method="tools/call") for number in (1, 2, 3)]
    await store.note(written[:2])
    await store.note(written[2:])
    read = await store.audit(AuditQuery())
    assert [kept.line for kept in read] == list(reversed(written))


async def test_pages_follow_each_other_without_gap(store, world):
    await store.note([line(world, number) for number in range(7)])
    told: list[str] = []
    before = 0
    while page := await store.audit(AuditQuery(limit=3, before=before)):
        told += [kept.line.deed.tool for kept in page]
        before = page[-1].number
    assert told == [f"t{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (AuditQuery(server="time"), ["t3", "t1"]),
        (AuditQuery(who="ben"), ["t2"]),
        (AuditQuery(result=AuditResult.REFUSED), ["t3"]),
        (AuditQuery(kind=AuditKind.TRY), ["t4"]),
        (AuditQuery(server="time", result=AuditResult.OK), ["t1"]),
        (AuditQuery(server="tim"), []),
    ],
    ids=["server", "who", "result", "kind", "both", "no part of a name"],
)
async def test_lines_are_found_by_what_they_tell(store, world, query, expected):
    await store.note(
        [
            line(world, 1),
            line(world, 2, who="ben", server="notes"),
            line(world, 3, result=AuditResult.REFUSED),
            line(world, 4, kind=AuditKind.TRY, server="notes"),
        ]
    )
    assert [kept.line.deed.tool for kept in await store.audit(query)] == expected


async def test_a_busy_client_pushes_out_calls_and_nothing_else(store, world, monkeypatch):
    monkeypatch.setattr(audit, "KEPT", {AuditKind.CALL: 4, AuditKind.PRUNE: 2})
    await store.note([line(world, 0, kind=AuditKind.PRUNE, tool="agreed")])
    for number in range(1, 12):
        await store.note([line(world, number)])
    kept = [one.line.deed.tool for one in await store.audit(AuditQuery())]
    assert kept == ["t11", "t10", "t9", "t8", "agreed"]
