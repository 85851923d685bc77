"""One tool call through `daytona mcp start`, as the user who runs this: call.py TOOL '{"argument": ...}'

Prints the structured result as JSON, or says on stderr why not and ends with 1. Needs nothing but Python.
"""
import json
import subprocess
import sys

server = subprocess.Popen(["daytona", "mcp", "start"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def request(number, method, params):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
    server.stdin.flush()
    for line in server.stdout:
        answer = json.loads(line)
        if answer.get("id") == number:
            return answer
    sys.exit(f"the server ended with {server.wait()}")


request(1, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "call", "version": "1"}})
answer = request(2, "tools/call", {"name": sys.argv[1], "arguments": json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")})
server.stdin.close()
server.wait(30)
result = answer.get("result", {})
if "error" in answer or result.get("isError"):
    sys.exit(result["content"][0]["text"] if result else answer["error"]["message"])
print(json.dumps(result.get("structuredContent")))
