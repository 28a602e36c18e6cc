"""What a generator cannot make up: values that the services gave out before, relations between members, instants that
are still to come, and lengths in bytes."""

from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import schemathesis


def instant(text):
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def good_query(query):
    # Signed by the service, for one tenant and question; any other is refused.
    if "cursor" in query:
        return False
    # A position of this deployment's topics; any other is waited for, and then answered 503.
    if "min_position" in query:
        return False
    # A range of time that ends before it begins is refused.
    begin, end = instant(query.get("from")), instant(query.get("to"))
    return not (begin and end and begin > end)


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)


def is_plain(body):
    # Limits are bytes, descriptions count characters.
    return all(text.isprintable() and text.isascii() for text in texts(body))


def mend_command(body, path):
    """Makes what fits the description fit the rules between the members, too."""
    if body.get("expires_at") is not None:
        body["expires_at"] = "2999-12-31T23:59:59Z"
    if "/waivers/" in path and "expires_at" in body:
        # At most 90 days ahead.
        body["expires_at"] = (datetime.now(timezone.utc) + timedelta(days=30)).isoformat()
    if "/waivers/" in path and "requested_by" in body:
        # Somebody else than who decides.
        body["requested_by"] = "somebody.else@example.com"
    action, decision = body.get("action"), body.get("decision")
    if path.endswith("/watchlists"):
        body["multiplier"] = "1.5" if action == "added" else None
    if path.endswith("/triage"):
        if decision in ("closed", "false_positive"):
            body["reason"] = body.get("reason") or "checked"
        if decision == "false_positive":
            body["rules"] = body.get("rules") or ["some-rule"]
        # Ids of the other kinds have forms of their own.
        body["entity"]["kind"] = "user"
    if "/holds" in path:
        body["subject"] = None if body.get("scope") == "tenant" else body.get("subject") or "mara"
    if "/audit/searches/" in path and isinstance(body.get("filter"), dict):
        # A range of time that ends before it begins is refused.
        body["filter"].pop("to", None)
    if path.endswith("/cost/allocation"):
        # Names are no blanks, weights are above zero, no team stands twice.
        body["rules"] = None if action == "removed" else [{"when": {"project": "a"}, "to": {"team": "b"}}]
    if "/budgets/" in path:
        if action == "removed":
            for name in set(body) - {"action", "reason", "on_behalf_of"}:
                body[name] = None
        else:
            body["amount"], body["currency"] = "12.5", body.get("currency") or "EUR"
            for name in [name for name in ("project", "team", "tag") if body.get(name) is not None][1:]:
                body[name] = None


def is_generated_well(case):
    return case.meta is None or not case.meta.generation.mode.is_negative


# Methods of commands.
COMMANDS = ("POST", "PUT", "DELETE")


@schemathesis.hook
def map_case(ctx, case):
    if case.method.upper() in COMMANDS and is_generated_well(case):
        if isinstance(case.body, dict):
            mend_command(case.body, case.path)
        if "kind" in (case.path_parameters or {}):
            case.path_parameters["kind"] = "user"
    return case


@schemathesis.hook
def filter_case(ctx, case):
    if not good_query(case.query or {}):
        return False
    if case.method.upper() not in COMMANDS or not is_generated_well(case):
        return True
    return is_plain([case.body, [unquote(str(value)) for value in (case.path_parameters or {}).values()]])
