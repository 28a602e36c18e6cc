"""Calls every GET operation of a description through the client that openapi-python-client made of it.

Arguments: the folder of the client's package, its name, the URL of the service, an API key.
Every answer must be parsed, and what was parsed must be the JSON that was sent. Ids in paths come from the lists above them.
Prints one line for each operation; exits 1 if an answer was not parsed as it was sent.
"""

import datetime
import importlib
import inspect
import json
import pkgutil
import sys

# Ids that are tried of each list.
IDS = 5
# Members of a list's items that are ids, where none has the name of the path's parameter.
KEYS = ("id", "event_id", "change_id", "control_id", "control", "resource", "name")
# Lists that have the ids of other paths, and the member with the id.
LISTS = {
    "/api/v1/compliance/resources/__id__": ("/api/v1/compliance/verdicts", "resource"),
    "/api/v1/cost/resources/__id__": ("/api/v1/cost/charges", "resource"),
    "/api/v1/subjects/__subject__": ("/api/v1/audit", "actor"),
    "/api/v1/compliance/controls/__id__": ("/api/v1/compliance/posture", "control"),
    "/api/v1/audit/logs/__topic__/__partition__/checkpoint": ("/api/v1/audit/logs", "log"),
}
# Lists that are asked again with a parameter from their first answer: its name, and the list and the member with its value.
AGAIN = {"/api/v1/compliance/posture": ("framework", "frameworks", "framework")}
# Operations that need parameters, or rows that no fixture has.
UNASKED = {
    "/api/v1/audit/proofs",
    "/api/v1/audit/searches/__name__",
    "/api/v1/audit/logs/__topic__/__partition__/consistency",
}


def operations(package):
    """Module, path with names in braces, and the names, of each GET operation; those without names first."""
    found = []
    api = importlib.import_module(f"{package}.api")
    for info in pkgutil.walk_packages(api.__path__, api.__name__ + "."):
        module = importlib.import_module(info.name)
        if not hasattr(module, "_get_kwargs"):
            continue
        parameters = inspect.signature(module._get_kwargs).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        needed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        if "body" in needed:
            continue
        made = module._get_kwargs(*[f"__{name}__" for name in names], **{name: "__given__" for name in needed})
        if made["method"] == "get":
            found.append((module, made["url"], names, needed))
    return sorted(found, key=lambda one: (one[1].count("__"), one[1]))


def same(sent, parsed, place="answer"):
    """Differences between what was sent and what was parsed."""
    if isinstance(sent, dict) and isinstance(parsed, dict):
        for key in sorted(sent.keys() | parsed.keys()):
            if key not in sent or key not in parsed:
                yield f"{place}.{key}: only {'parsed' if key in parsed else 'sent'}"
            else:
                yield from same(sent[key], parsed[key], f"{place}.{key}")
    elif isinstance(sent, list) and isinstance(parsed, list) and len(sent) == len(parsed):
        for number, (one, other) in enumerate(zip(sent, parsed)):
            yield from same(one, other, f"{place}[{number}]")
    elif sent != parsed and instant(sent) != instant(parsed):
        yield f"{place}: {sent!r} was sent, {parsed!r} was parsed"


def instant(value):
    try:
        return datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def items(answer):
    """Objects of the lists in an answer."""
    lists = [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else []
    return [item for found in lists for item in found if isinstance(item, dict)]


def arguments(path, names, answers):
    """Values for the names of a path, from the answer of the list above it."""
    above, member = LISTS.get(path, (path.split("/__")[0], None))
    given = []
    for item in items(answers.get(above, {})):
        if member:
            told = item.get(member) or item.get(f"{member}_id") or ""
            values = told.split("/") if member == "log" else [told]
            if told and values not in given:
                given.append(values)
            continue
        values = [next((item[key] for key in (name, *KEYS) if key in item), None) for name in names]
        if all(isinstance(value, (str, int)) for value in values) and values not in given:
            given.append(values)
    return given[:IDS]


def main(folder, package, url, token):
    sys.path.insert(0, folder)
    client = importlib.import_module(package).AuthenticatedClient(base_url=url, token=token)
    answers, faults, unasked = {}, [], []
    for module, path, names, needed in operations(package):
        asked = arguments(path, names, answers) if names else [[]]
        if not asked or needed:
            unasked.append(path)
            if path not in UNASKED:
                faults.append(f"{path}: there is nothing to ask for")
            continue
        parsed, given = 0, {}
        for values in [*asked, *asked[:1]] if path in AGAIN else asked:
            answer = module.sync_detailed(*values, client=client, **given)
            if "json" not in answer.headers.get("content-type", "") or "ndjson" in answer.headers["content-type"]:
                continue
            sent = json.loads(answer.content)
            if answer.status_code == 200 and not names:
                answers[path] = sent
            if path in AGAIN and not given:
                name, listed, member = AGAIN[path]
                given = {name: sent[listed][0][member]}
            if answer.parsed is None:
                faults.append(f"{path} {values}: {answer.status_code} is not parsed: {sent}")
                continue
            parsed += 1
            faults += [f"{path} {values}: {fault}" for fault in same(sent, answer.parsed.to_dict())]
        print(f"{path}: {parsed} answers, {len(items(answers.get(path, {})))} items")
    refused = importlib.import_module(package).AuthenticatedClient(base_url=url, token="none")
    for module, path, names, needed in operations(package):
        answer = module.sync_detailed(*["1"] * len(names), client=refused, **{name: "x" for name in needed})
        if answer.status_code == 401 and answer.parsed is None:
            faults.append(f"{path}: the refusal is not parsed")
    print(f"not asked: {unasked}")
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
