"""People and the own account, as pages and in the API: who changes whom, and what is told once."""

from __future__ import annotations

import datetime
import html
import re
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from console.access import COOKIE, CSRF_HEADER
from console.account import SCOPE_NAMES
from console.people import ROLES
from console.words import catalogue
from party.apitokens import SCOPES
from party.people import Role, refusal
from psi.errors import UsageError
from tests.console.conftest import ORIGIN, PASSWORD, Site
from tests.party.logs import told

NEW = "staple of another kind"
WRONG = "not the password"
API = "/api/v1"
SECRET = re.compile(r"<pre>([^<]+)</pre>")


def number(site: Site, name: str) -> int:
    """Return the number of an account."""
    return site.place.people.get(name).id


def api(site: Site, client: TestClient, method: str, path: str, body: Any = None, **headers: str) -> Response:
    """Ask the API with a session, as a page's script would."""
    sent = {"Origin": ORIGIN, CSRF_HEADER: site.csrf(client), **headers}
    return client.request(method, API + path, json=body, headers=sent)


def entered(site: Site, name: str, password: str) -> TestClient:
    """Log in as a person does; returns the browser."""
    browser = site.browser()
    answer = browser.post("/login", data={"name": name, "password": password}, headers={"Origin": ORIGIN})
    assert answer.status_code == 303
    browser.cookies.set(COOKIE, answer.cookies[COOKIE], domain="console.test")
    return browser


# -- pages


def test_a_person_from_being_added_to_the_own_password(bank: Site) -> None:
    # From here on there is a log.
    bank.place.node.settle_log()
    adam = bank.client("adam")
    assert "Add a person" in adam.get("/people").text
    made = bank.post(adam, "/people", name="Cui Wei", role=["analyst", "approver"], password=PASSWORD)
    assert made.status_code == 200
    found = SECRET.search(made.text)
    assert found is not None
    browser = entered(bank, "cui wei", found[1])
    # Nothing but the own account, until the password is changed.
    assert browser.get("/jobs").headers["location"] == "/account/password"
    assert "good for this alone" in browser.get("/account/password").text
    for again, status in (("something else entirely", 422), (NEW, 303)):
        answer = bank.post(browser, "/account/password", password=found[1], new=NEW, again=again)
        assert answer.status_code == status
    assert browser.get("/jobs").status_code == 200
    assert not bank.place.people.get("Cui Wei").must_change
    assert ("person_added", "adam", {"person": "Cui Wei", "roles": "analyst_approver"}) in told(
        bank.place.node.home.store, "person_added"
    )


def test_roles_are_changed(bank: Site) -> None:
    adam, ann = bank.client("adam"), bank.client("ann")
    assert ann.get("/datasets/-/new").status_code == 200
    answer = bank.post(adam, f"/people/{number(bank, 'ann')}/roles", role="auditor", password=PASSWORD)
    assert answer.headers["location"] == f"/people/{number(bank, 'ann')}"
    assert bank.place.people.get("ann").roles == {Role.AUDITOR}
    # From the next request on.
    assert ann.get("/datasets/-/new").status_code == 403


def test_every_change_takes_the_own_password(bank: Site) -> None:
    adam, ann = bank.client("adam"), number(bank, "ann")
    before = bank.place.people.all()
    for path, fields in (
        ("/people", {"name": "cui", "role": "analyst"}),
        (f"/people/{ann}/roles", {"role": "approver"}),
        (f"/people/{ann}/password", {}),
        (f"/people/{ann}/disable", {}),
    ):
        answer = bank.post(adam, path, password=WRONG, **fields)
        assert answer.status_code == 403
        assert "Name or password is wrong" in answer.text
    assert bank.place.people.all() == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Ann", "role": "analyst"}, "There is a person ann already."),
        ({"name": "cui"}, "A person has at least one role."),
        ({"name": "cui", "role": "owner"}, "There is no such role."),
        ({"name": "cui", "role": ["administrator", "approver"]}, "and nothing else."),
        ({"name": "node:bank", "role": "analyst"}, "not one that the history can hold"),
    ],
)
def test_what_cannot_be_added(bank: Site, fields: dict[str, Any], said: str) -> None:
    answer = bank.post(bank.client("adam"), "/people", password=PASSWORD, **fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert f'value="{fields["name"]}"' in answer.text
    assert PASSWORD not in answer.text


def test_an_administrator_changes_not_themselves(bank: Site) -> None:
    adam, own = bank.client("adam"), number(bank, "adam")
    assert "This is you." in adam.get(f"/people/{own}").text
    for path, status in ((f"/people/{own}/roles", 403), (f"/people/{own}/password", 422)):
        assert bank.post(adam, path, role="administrator", password=PASSWORD).status_code == status
    assert bank.post(adam, f"/people/{own}/disable", password=PASSWORD).status_code == 409
    assert adam.get("/people").status_code == 200


def test_a_person_is_kept_out_and_let_in(bank: Site) -> None:
    adam, ann = bank.client("adam"), bank.client("ann")
    path = f"/people/{number(bank, 'ann')}"
    assert bank.post(adam, f"{path}/disable", password=PASSWORD).status_code == 303
    assert ann.get("/jobs").headers["location"].startswith("/login")
    assert "disabled" in adam.get(path).text
    assert bank.post(adam, f"{path}/enable", password=PASSWORD).status_code == 303
    assert entered(bank, "ann", PASSWORD).get("/jobs").status_code == 200


def test_a_password_is_reset(bank: Site) -> None:
    adam, ann = bank.client("adam"), bank.client("ann")
    found = SECRET.search(bank.post(adam, f"/people/{number(bank, 'ann')}/password", password=PASSWORD).text)
    assert found is not None
    assert ann.get("/jobs").status_code == 303
    assert entered(bank, "ann", found[1]).get("/account").status_code == 200


def test_tokens_of_others_are_revoked(bank: Site) -> None:
    adam, program = bank.client("adam"), bank.token("ann", "see")
    path = f"/people/{number(bank, 'ann')}"
    assert program.get(API + "/jobs").status_code == 200
    assert "test" in adam.get(path).text
    (token,) = bank.place.tokens.list(bank.place.people.get("ann"))
    # Under the number of somebody else it isn't there.
    assert bank.post(adam, f"/people/{number(bank, 'bob')}/tokens/{token.id}/revoke").status_code == 422
    assert bank.post(adam, f"{path}/tokens/{token.id}/revoke").status_code == 303
    assert program.get(API + "/jobs").status_code == 401


@pytest.mark.parametrize("path", ["/people/99", "/people/2147483647"])
def test_nobody_is_there(bank: Site, path: str) -> None:
    adam = bank.client("adam")
    assert adam.get(path).status_code == 404
    assert adam.get(API + path).status_code == 404
    assert bank.post(adam, f"{path}/roles", role="analyst", password=PASSWORD).status_code == 404


def test_names_are_shown_as_text(bank: Site) -> None:
    name = "<script>alert(1)</script>"
    bank.place.people.add(name, PASSWORD, {Role.ANALYST}, "adam", must_change=False)
    adam = bank.client("adam")
    for path in ("/people", f"/people/{number(bank, name)}"):
        assert name not in adam.get(path).text
        assert html.escape(name) in adam.get(path).text
    assert name not in bank.client(name).get("/account").text


# -- the own account


def test_sessions_are_ended(bank: Site) -> None:
    one, other = bank.client("ann"), bank.client("ann")
    assert "End all others" in one.get("/account").text
    assert bank.post(one, "/account/sessions/end").status_code == 303
    assert other.get("/account").status_code == 303
    assert "End all others" not in one.get("/account").text


def test_a_language_is_chosen_for_all_browsers(bank: Site) -> None:
    ann = bank.client("ann")
    assert bank.post(ann, "/account/language", language="zh").status_code == 303
    assert "您的账号" in bank.client("ann").get("/account").text
    assert bank.post(ann, "/account/language", language="").status_code == 303
    assert "Your account" in bank.client("ann").get("/account").text
    assert bank.post(ann, "/account/language", language="xx").status_code == 422


def test_a_token_is_made_and_revoked(bank: Site) -> None:
    ann = bank.client("ann")
    page = ann.get("/account").text
    # Of the scopes those of the own roles.
    assert set(re.findall(r'name="scope" value="(\w+)"', page)) == {
        "see",
        "draft",
        "cancel",
        "datasets",
        "results",
    }
    fields = {"name": "export", "scope": ["see", "results"], "days": "30"}
    assert bank.post(ann, "/account/tokens", password=WRONG, **fields).status_code == 403
    found = SECRET.search(bank.post(ann, "/account/tokens", password=PASSWORD, **fields).text)
    assert found is not None
    program = bank.browser()
    program.headers["Authorization"] = f"Bearer {found[1]}"
    assert program.get(API + "/jobs").status_code == 200
    assert found[1] not in ann.get("/account").text
    (token,) = bank.place.tokens.list(bank.place.people.get("ann"))
    assert bank.post(bank.client("bob"), f"/account/tokens/{token.id}/revoke").status_code == 422
    assert bank.post(ann, f"/account/tokens/{token.id}/revoke").status_code == 303
    assert program.get(API + "/jobs").status_code == 401
    assert "revoked" in ann.get("/account").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scope": ["see", "decide"]}, "more than its owner may do"),
        ({"scope": []}, "cannot be the scopes of a token"),
        ({"days": "0"}, "good for 1 to 365 days"),
        ({"days": "many"}, "good for 1 to 365 days"),
        ({"name": ""}, "cannot be the name of a token"),
    ],
)
def test_tokens_that_cannot_be(bank: Site, fields: dict[str, Any], said: str) -> None:
    usual = {"name": "export", "scope": ["see"], "days": "30", "password": PASSWORD}
    answer = bank.post(bank.client("ann"), "/account/tokens", **(usual | fields))
    assert answer.status_code == 422
    assert said in answer.text
    assert bank.place.tokens.list() == []


def test_a_password_that_cannot_be(bank: Site) -> None:
    ann = bank.client("ann")
    for current, new, status, said in (
        (WRONG, NEW, 403, "Name or password is wrong"),
        (PASSWORD, "short", 422, "12 to 256 characters"),
        (PASSWORD, "password1234", 422, "among the first that others would try"),
        (PASSWORD, PASSWORD, 422, "the password that it was before"),
    ):
        answer = bank.post(ann, "/account/password", password=current, new=new, again=new)
        assert (answer.status_code, said in answer.text) == (status, True)
        assert new not in answer.text
    other = bank.client("ann")
    answer = bank.post(ann, "/account/password", password=PASSWORD, new=f" {NEW} ", again=f" {NEW} ")
    assert answer.headers["location"] == "/account"
    assert (ann.get("/account").status_code, other.get("/account").status_code) == (200, 303)
    # Blanks at the ends count.
    assert entered(bank, "ann", f" {NEW} ").get("/account").status_code == 200


def test_proofs_are_throttled(bank: Site) -> None:
    adam, path = bank.client("adam"), f"/people/{number(bank, 'ann')}/disable"
    for _ in range(5):
        assert bank.post(adam, path, password=WRONG).status_code == 403
    assert bank.post(adam, path, password=PASSWORD).status_code == 403
    assert not bank.place.people.get("ann").disabled


# -- the API


def test_people_in_the_api(bank: Site) -> None:
    adam = bank.token("adam", "people")
    first = adam.get(API + "/people?limit=2").json()
    rest = adam.get(API + f"/people?limit=50&after={first['next']}").json()
    assert [each["name"] for each in first["items"] + rest["items"]] == ["ann", "bob", "eve", "adam", "zoe"]
    assert rest["next"] is None
    wish = {"name": "Cui", "roles": ["analyst"], "password": PASSWORD}
    made = adam.post(API + "/people", json=wish)
    assert made.status_code == 201
    account, secret = made.json()["account"], made.json()["one_time_password"]
    assert (account["name"], account["roles"], account["must_change"]) == ("Cui", ["analyst"], True)
    path = f"{API}/people/{account['id']}"
    roles = adam.put(f"{path}/roles", json={"roles": ["auditor", "analyst"], "password": PASSWORD})
    assert roles.json()["roles"] == ["analyst", "auditor"]
    assert adam.post(f"{path}/disable", json={"password": PASSWORD}).json()["disabled"]
    assert not adam.post(f"{path}/enable", json={"password": PASSWORD}).json()["disabled"]
    again = adam.post(f"{path}/password", json={"password": PASSWORD}).json()["one_time_password"]
    assert again != secret
    assert adam.get(path).json() | {"changed": 0} == roles.json() | {"changed": 0}
    assert adam.post(f"{path}/disable", json={"password": WRONG}).status_code == 403
    assert adam.put(f"{path}/roles", json={"roles": ["owner"], "password": PASSWORD}).status_code == 422


def test_tokens_of_others_in_the_api(bank: Site) -> None:
    adam, program = bank.token("adam", "people"), bank.token("ann", "see")
    path = f"{API}/people/{number(bank, 'ann')}/tokens"
    (token,) = adam.get(path).json()["items"]
    assert (token["name"], token["scopes"]) == ("test", ["see"])
    assert adam.delete(f"{path}/99").status_code == 404
    assert adam.delete(f"{path}/{token['id']}").status_code == 204
    assert program.get(API + "/jobs").status_code == 401
    assert adam.get(path).json() == {"items": [], "next": None}


def test_a_secret_is_not_kept_under_a_key(bank: Site) -> None:
    adam = bank.token("adam", "people")
    wish = {"name": "Cui", "roles": ["analyst"], "password": PASSWORD}
    assert adam.post(API + "/people", json=wish, headers={"Idempotency-Key": "one"}).status_code == 201
    again = adam.post(API + "/people", json=wish, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert "its answer is not kept" in again.json()["detail"]
    # What was refused can be sent again under its key.
    wrong = {"password": WRONG}
    path = f"{API}/people/{number(bank, 'ann')}/disable"
    for _ in range(2):
        assert adam.post(path, json=wrong, headers={"Idempotency-Key": "two"}).status_code == 403


def test_a_token_has_no_right_to_the_account(bank: Site) -> None:
    adam = bank.token("adam", *(SCOPES & {"see", "people", "partners"}))
    wish = {"name": "more", "scopes": ["people"], "days": 365, "password": PASSWORD}
    assert adam.post(API + "/tokens", json=wish).status_code == 403
    assert adam.get(API + "/account").status_code == 403


def test_the_own_account_in_the_api(bank: Site) -> None:
    ann, other = bank.client("ann"), bank.client("ann")
    account = api(bank, ann, "GET", "/account").json()
    assert (account["name"], account["language"]) == ("ann", None)
    assert account["rights"] == ["cancel", "datasets", "draft", "own", "results", "see"]
    assert api(bank, ann, "PUT", "/account/language", {"language": "zh"}).json()["language"] == "zh"
    sessions = api(bank, ann, "GET", "/account/sessions?limit=1").json()
    rest = api(bank, ann, "GET", f"/account/sessions?after={sessions['next']}").json()
    assert sorted(each["this"] for each in sessions["items"] + rest["items"]) == [False, True]
    assert api(bank, ann, "DELETE", "/account/sessions").json() == {"ended": 1}
    assert other.get(API + "/account").status_code == 401
    wish = {"password": PASSWORD, "new": NEW}
    assert api(bank, ann, "PUT", "/account/password", wish).status_code == 204
    assert api(bank, ann, "PUT", "/account/password", wish).status_code == 403


def test_own_tokens_in_the_api(bank: Site) -> None:
    ann = bank.client("ann")
    wish = {"name": "export", "scopes": ["see", "draft"], "days": 7, "password": PASSWORD}
    made = api(bank, ann, "POST", "/tokens", wish, **{"Idempotency-Key": "one"})
    assert made.status_code == 201
    program = bank.browser()
    program.headers["Authorization"] = f"Bearer {made.json()['secret']}"
    assert program.get(API + "/jobs").status_code == 200
    assert api(bank, ann, "POST", "/tokens", wish, **{"Idempotency-Key": "one"}).status_code == 409
    (listed,) = api(bank, ann, "GET", "/tokens").json()["items"]
    assert listed["scopes"] == ["draft", "see"]
    ends = datetime.datetime.fromisoformat(listed["expires"]) - datetime.datetime.fromisoformat(
        listed["made"]
    )
    assert ends == datetime.timedelta(days=7)
    assert api(bank, ann, "POST", "/tokens", wish | {"scopes": ["decide"]}).status_code == 422
    token = made.json()["token"]["id"]
    assert api(bank, bank.client("bob"), "DELETE", f"/tokens/{token}").status_code == 404
    assert api(bank, ann, "DELETE", f"/tokens/{token}").status_code == 204
    assert program.get(API + "/jobs").status_code == 401
    # Without the page's token a cookie is worth nothing.
    assert ann.delete(f"{API}/tokens/{token}", headers={"Origin": ORIGIN}).status_code == 403


# -- words


def test_what_is_put_together_at_run_time_has_its_chinese(bank: Site) -> None:
    said = {text for texts in ROLES.values() for text in texts} | set(SCOPE_NAMES.values())
    said |= {refusal().message, refusal().hint}
    people, ann = bank.place.people, bank.place.people.get("ann")
    for step in (
        lambda: people.add("cui", PASSWORD, set(), "adam"),
        lambda: people.add("cui", PASSWORD, {Role.ADMINISTRATOR, Role.ANALYST}, "adam"),
        lambda: people.add("", PASSWORD, {Role.ANALYST}, "adam"),
        lambda: people.add("a:b", PASSWORD, {Role.ANALYST}, "adam"),
        lambda: people.set_password("ann", "short", "ann"),
        lambda: people.set_password("ann", "password1234", "ann"),
        lambda: people.set_password("ann", PASSWORD, "ann"),
        lambda: people.set_language("ann", "xx"),
        lambda: bank.place.tokens.make(ann, "", {"see"}, 1, "ann"),
        lambda: bank.place.tokens.make(ann, "one", {"own"}, 1, "ann"),
        lambda: bank.place.tokens.make(ann, "one", {"see"}, 0, "ann"),
        lambda: bank.place.tokens.revoke(99, "ann"),
    ):
        with pytest.raises(UsageError) as caught:
            step()
        said |= {caught.value.message, caught.value.hint}
    said.discard("there are en and zh")  # of who asks the API for a language that the form has not
    assert sorted(said - catalogue("zh").keys()) == []
    assert SCOPE_NAMES.keys() == SCOPES
    assert ROLES.keys() == set(Role)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_pages_in_both_languages(bank: Site, language: str) -> None:
    adam = bank.client("adam")
    bank.post(adam, "/account/language", language=language)
    for path in ("/people", f"/people/{number(bank, 'ann')}", "/account", "/account/password"):
        shown = adam.get(path)
        assert shown.status_code == 200
        assert ("密码" in shown.text) == (language == "zh")
        assert "style=" not in shown.text
        assert "onclick" not in shown.text
