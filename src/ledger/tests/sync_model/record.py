#!/usr/bin/env python3
"""Records a schedule of the design's sync_model.py as a list of operations: see README.md.

    record.py SYNC_MODEL.PY FAULTS SEED > schedule.json

It runs the model's own source, with a line put in wherever something is done that says so.
"""
import json
import os
import sys

path, faults, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
source = open(path).read().split("results = {")[0]

INSTRUMENTS = [
    ("    acked, lifts, cut, excused =", "    say_follows(nodes, follows)\n", ""),
    ("                lifts.append((key, old))\n", "", "                say('lift', node, key=key)\n"),
    ("            if random.random() < 0.8:\n                node.commit()\n", "            say('revoke', node, key=key, cut_off=value)\n", "                say('acknowledge', node)\n"),
    ("        elif dice < 0.40:\n            node.commit()\n", "", "            say('commit', node)\n"),
    ("            if random.random() < 0.6:\n                node.commit()\n", "", "                say('commit', node)\n"),
    ("            node.crash(\"crash\")\n", "", "            say('crash', node)\n"),
    ("            node.backup = node.synced.copy()\n", "", "            say('back_up', node)\n"),
    ("            node.crash(\"rollback\")\n", "", "            say('roll_back', node)\n"),
    ("            node.crash(\"loss\")\n", "", "            say('lose', node)\n"),
]
for line, before, after in INSTRUMENTS:
    assert source.count(line) == 1, f"the model has changed: {line!r}"
    source = source.replace(line, before + line + after)
for line, said in [
    ("            pull(node, up, random.randint(1, 4))\n", "pull"),
    ("                push(node, up, random.randint(1, 4))\n", "push"),
]:
    indent = line[: len(line) - len(line.lstrip())]
    told = f"{indent}count = random.randint(1, 4)\n{indent}{said}(node, up, count)\n{indent}say('{said}', node, up=up, count=count)\n"
    assert source.count(line) == 1, f"the model has changed: {line!r}"
    source = source.replace(line, told)

recorded = {"follows": [], "operations": []}
places = {f"hub{i}": i for i in range(3)} | {f"leaf{i}": 3 + i for i in range(3)}


def say(operation, node, up=None, **more):
    at = {"node": places[node.name]} | ({"upstream": places[up.name]} if up else {})
    recorded["operations"].append({"do": operation} | at | more)


def say_follows(nodes, follows):
    recorded["follows"] = [[places[up.name] for up in follows[node.name]] for node in nodes]


sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
sys.argv = [path, "0", faults]
model = {"__name__": "model", "say": say, "say_follows": say_follows}
exec(compile(source, path, "exec"), model)
equal, kept = model["schedule"](seed)
print(f"{faults} {seed}: equal {equal}, kept {kept}", file=sys.stderr)
lines = ",\n    ".join(json.dumps(operation) for operation in recorded["operations"])
print(f'{{\n  "follows": {json.dumps(recorded["follows"])},\n  "operations": [\n    {lines}\n  ]\n}}')
