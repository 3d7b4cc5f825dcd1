# SPDX-License-Identifier: MIT
"""proxy.py PORT TO-PORT MODE-FILE: between runner and orchestrator. The word in MODE-FILE says what becomes of bytes from now
on: "pass"; "slow": answers come two seconds late; "hold": what the runner says goes nowhere."""
import socket
import sys
import threading
import time

port, to, mode_file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def mode():
    with open(mode_file) as f:
        return f.read().strip()


def pump(source, sink, answers):
    try:
        while data := source.recv(65536):
            if answers and mode() == "slow":
                time.sleep(2)
            while not answers and mode() == "hold":
                time.sleep(0.1)
            sink.sendall(data)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", port))
while True:
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", to))
    except OSError:
        client.close()
        continue
    threading.Thread(target=pump, args=(client, server, False), daemon=True).start()
    threading.Thread(target=pump, args=(server, client, True), daemon=True).start()
