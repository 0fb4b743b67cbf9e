"""The guest's end of the control channel: a line of JSON requests a command, a line of JSON has its result."""

import base64
import json
import os
import signal
import subprocess
import sys
import time


def execute(request):
    process = subprocess.Popen(
        ["/bin/bash", "-c", request["command"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/root",
        preexec_fn=lambda: open("/proc/self/oom_score_adj", "w").write("0"),
    )
    try:
        out, err = process.communicate(base64.b64decode(request["input"]), request["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += b"\nended after %d s" % request["timeout"]
    return {
        "id": request["id"],
        "code": process.returncode,
        "out": base64.b64encode(out).decode(),
        "err": base64.b64encode(err).decode(),
    }


def main(path):
    port = os.open(path, os.O_RDWR)
    pending = b""
    while True:
        chunk = os.read(port, 1 << 16)
        if not chunk:  # nobody is connected
            time.sleep(0.05)
            continue
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            reply = memoryview(json.dumps(execute(json.loads(line))).encode() + b"\n")
            while reply:
                reply = reply[os.write(port, reply) :]


main(sys.argv[1])
