"""The suite about itself: every case has a source, every section and every fault has a case, and the README says so."""

from pathlib import Path

import httpx
import pytest

from tests.contract import evidence
from tests.contract.openapi import BODIES, DEVIATIONS, FORMS

APP = {"name": "a", "network": "a"}


def test_every_case_names_sections_that_there_are():
    known = {f"fly.md {section}" for section in evidence.SECTIONS} | {
        f"fly.md 13.{fault.number}" for fault in evidence.FAULTS
    }
    found = list(evidence.cases())
    assert len(found) > 80
    assert [case for case in found if not case.places or not set(case.places) <= known] == []


def test_every_section_has_a_case_or_a_reason_for_having_none():
    places = {place for case in evidence.cases() for place in case.places}
    without = {section for section in evidence.SECTIONS if f"fly.md {section}" not in places}
    assert without == set(evidence.WITHOUT_CASE)


def test_every_ranked_fault_has_a_test_that_exists():
    assert [fault.number for fault in evidence.FAULTS] == list(range(1, 21))
    assert all(fault.tests for fault in evidence.FAULTS)
    assert evidence.missing_fault_tests() == []


def test_the_tables_of_the_readme_are_up_to_date():
    assert evidence.README.read_text(encoding="utf-8") == evidence.rendered(), "run python -m tests.contract.evidence"


def test_the_sections_are_those_of_the_note(shared_data: Path):
    note = (shared_data.parent / "notes" / "fly.md").read_text(encoding="utf-8")
    headed = [section for section in evidence.SECTIONS if not section.startswith(("15.", "17."))]
    assert [section for section in headed if f"# {section} " not in note and f"# {section}. " not in note] == []


def test_the_table_of_deviations_covers_what_the_document_leaves_open(document):
    if document is None:
        pytest.skip("the OpenAPI document (../shared/data/machines-openapi.json) is not here")
    names = [operation.name for operation in document.operations]
    open_ones = {operation.name for operation in document.operations if not operation.declares_success}
    assert (len(names), len(set(names)), len(open_ones)) == (76, 76, 19)
    assert set(BODIES) == open_ones
    assert set(FORMS) <= set(names)
    assert all(row.reason for row in DEVIATIONS)


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "complaint"),
    [
        pytest.param("GET", "/v1/apps/a", 200, APP | {"name": 1}, r"\$.name", id="a wrong type"),
        pytest.param("GET", "/v1/apps/a", 204, APP, "204", id="a status that is not documented"),
        pytest.param("GET", "/v1/apps/a", 404, {"detail": "no"}, "valid", id="an error in no envelope"),
        pytest.param("DELETE", "/v1/apps/a", 202, {}, "unexpected body", id="a body where there is none"),
        pytest.param("GET", "/v1/platform/regions", 200, {"regions": []}, "Regions", id="regions in small letters"),
        pytest.param("GET", "/v1/apps/a/machines/1/lease", 200, {"nonce": "x"}, "status", id="no lease envelope"),
        pytest.param("GET", "/v1/nothing", 200, {}, "nobody documents", id="a route that nobody has"),
    ],
)
def test_the_judge_refuses(document, method, path, status, body, complaint):
    if document is None:
        pytest.skip("the OpenAPI document (../shared/data/machines-openapi.json) is not here")
    request = httpx.Request(method, f"http://127.0.0.1{path}")
    with pytest.raises(AssertionError, match=complaint):
        document.judge(httpx.Response(status, json=body, request=request))
