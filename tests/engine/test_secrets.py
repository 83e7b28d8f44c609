"""App secrets: applied at boot, versioned, and never readable."""

import json
import stat

SECRET = "correct-horse-battery"


async def put(bench, **values: str | None):
    answer = await bench.api.post("/apps/acme-time/secrets", json={"values": values})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_secrets_reach_a_machine_at_its_boot_and_not_before(bench):
    await put(bench, API_KEY=SECRET)
    made = await bench.started()
    assert (await bench.environment())["env"]["API_KEY"] == SECRET
    await put(bench, API_KEY="changed", OTHER="more")
    assert (await bench.environment())["env"]["API_KEY"] == SECRET
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    assert (await bench.environment())["env"]["API_KEY"] == "changed"


async def test_a_null_removes_a_secret_and_every_change_makes_a_version(bench):
    assert (await put(bench, A="1", B="2"))["version"] == 1
    answer = await put(bench, A=None, C="3")
    assert answer["version"] == 2
    assert [secret["name"] for secret in answer["secrets"]] == ["B", "C"]


async def test_a_digest_is_stable_for_a_value_and_tells_nothing_else(bench):
    first = (await put(bench, A="1", B="1"))["secrets"]
    again = (await put(bench, A="1"))["secrets"]
    assert again[0]["digest"] == first[0]["digest"] != first[1]["digest"]
    assert (await put(bench, A="2"))["secrets"][0]["digest"] != first[0]["digest"]


async def test_one_secret_is_set_shown_and_deleted(bench):
    made = await bench.api.post("/apps/acme-time/secrets/TOKEN", json={"value": SECRET})
    assert (made.status_code, made.json()["version"]) == (201, 1)
    shown = await bench.api.get("/apps/acme-time/secrets/TOKEN", params={"show_secrets": "true"})
    assert shown.json()["digest"] == made.json()["digest"]
    assert (await bench.api.delete("/apps/acme-time/secrets/TOKEN")).json() == {"version": 2}
    assert (await bench.api.get("/apps/acme-time/secrets/TOKEN")).status_code == 404
    assert (await bench.api.post("/apps/acme-time/secrets/NOT-A-NAME", json={"value": "x"})).status_code == 400


async def test_a_boot_waits_for_the_secrets_version_that_it_needs(bench):
    made = await bench.make_machine(min_secrets_version=1)
    assert (await bench.until(made, lambda found: found["state"] == "starting"))["checks"] == []
    await put(bench, API_KEY=SECRET)
    await bench.wait(made)
    assert (await bench.environment())["env"]["API_KEY"] == SECRET


async def test_skip_secrets_boots_without(bench):
    await put(bench, API_KEY=SECRET)
    await bench.started(skip_secrets=True)
    assert "API_KEY" not in (await bench.environment())["env"]


async def test_no_answer_ever_holds_a_value(bench):
    await put(bench, API_KEY=SECRET)
    made = await bench.started()
    paths = (
        "/apps/acme-time/secrets?show_secrets=true",
        "/apps/acme-time/secrets/API_KEY?show_secrets=true",
        "/apps/acme-time",
        "/apps/acme-time/machines",
        bench.path(made),
        f"{bench.path(made)}/events",
        f"{bench.path(made)}/versions",
        "/orgs/personal/machines",
    )
    answers = [(await bench.api.get(path)).text for path in paths]
    assert SECRET not in json.dumps([*answers, await bench.logs(), repr(bench.engine)])


async def test_the_state_on_disk_belongs_to_its_owner_alone(bench):
    await put(bench, API_KEY=SECRET)
    directory = bench.settings.state_dir
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.glob("engine.sqlite3*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_the_environment_is_the_given_base_the_configuration_the_secrets_and_the_platform(bench, monkeypatch):
    monkeypatch.setenv("HOST_ONLY", "must not travel")
    await put(bench, BOTH="secret")
    made = await bench.started(
        "--", "word with space", config={"env": {"BOTH": "plain", "PLAIN": "1", "FLY_REGION": "x"}}
    )
    seen = await bench.environment()
    environment = seen["env"]
    assert seen["argv"][2:] == ["--", "word with space"]
    assert (environment["BOTH"], environment["PLAIN"], environment["PATH"]) == ("secret", "1", "/usr/bin:/bin")
    assert "HOST_ONLY" not in environment
    expected = {
        "FLY_APP_NAME": "acme-time",
        "FLY_MACHINE_ID": made["id"],
        "FLY_MACHINE_VERSION": made["instance_id"],
        "FLY_IMAGE_REF": made["config"]["image"],
        "FLY_PRIVATE_IP": made["private_ip"],
        "FLY_REGION": "local",
        "FLY_VM_MEMORY_MB": "256",
    }
    assert {name: environment[name] for name in expected} == expected
