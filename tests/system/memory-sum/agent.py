#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent that speaks Claude Code's protocol. To its first message it asks two questions as long as a conversation may keep;
# then it writes a line of many events; once /srv/go is there, a line at the bound and all of another one but its end; once /srv/end is
# there, that end.
import json
import os
import sys
import time

LINE_MAX = 8 << 20


def line(before, after, size):
    return before + "x" * (size - len(before) - len(after)) + after


def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def wait(path):
    while not os.path.exists(path):
        time.sleep(0.2)


BEFORE = '{"type":"assistant","session_id":"s-1","message":{"content":[{"type":"text","text":"'
for text in sys.stdin:
    if len(text) < 4096 and json.loads(text)["type"] == "control_request":
        write(json.dumps({"type": "control_response", "response": {"subtype": "success", "request_id": json.loads(text)["request_id"],
                                                                   "response": {"commands": []}}}) + "\n")
        continue
    write('{"type":"system","subtype":"init","session_id":"s-1","model":"long","permissionMode":"default"}\n')
    for n in "ab":
        write(line('{"type":"control_request","request_id":"%s","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"x":"' % n,
                   '"}}}\n', 1 << 20))
    write('{"type":"assistant","session_id":"s-1","parent_tool_use_id":"%s","message":{"content":[%s]}}\n' %
          ("p" * 254, ",".join(['{"type":"text","text":"%s"}' % ("s" * 36)] * 1024)))
    wait("/srv/go")
    write(line(BEFORE, '"}]}}\n', LINE_MAX))
    write(line(BEFORE, "", LINE_MAX - 8))
    wait("/srv/end")
    write('"}]}}\n')
    write('{"type":"result","subtype":"success","is_error":false,"session_id":"s-1","result":"done","total_cost_usd":0.001,'
          '"usage":{"input_tokens":1,"output_tokens":1}}\n')
