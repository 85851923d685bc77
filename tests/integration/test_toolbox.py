"""daytona-toolbox as pid 1, driven over its socket."""
import base64
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest

from toolbox_box import Box, program, wait_for, with_time_enough

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


@pytest.fixture(scope="module")
def root():
    with Box(user="root", workdir="/tmp") as b:
        yield b


@pytest.fixture
def real():
    """The program that goes into sandboxes."""
    with Box(binary="daytona-toolbox") as b:
        yield b


# --- how it begins ---

def test_static():
    headers = subprocess.run(["readelf", "-lW", program("daytona-toolbox")], capture_output=True, text=True,
                             check=True).stdout
    assert "DYN (Position-Independent" in headers
    assert "INTERP" not in headers
    symbols = subprocess.run(["readelf", "-sW", program("daytona-toolbox")], capture_output=True, text=True,
                             check=True).stdout
    assert not re.search(r"\b(SSL_|OPENSSL_|_nss_|__asan|__nss_)", symbols)


def test_settles(box):
    assert box.sh("cat /etc/resolv.conf") == "nameserver 192.0.2.1\n"
    assert box.sh("cat /etc/hosts") == "127.0.0.1 localhost box\n"
    assert box.sh("cat /etc/hostname") == "box\n"
    assert box.sh("id -u; id -g; id -G") == "1000\n1000\n1000 44\n"
    assert box.sh("pwd; stat -c %u:%a /home/daytona") == "/home/daytona\n1000:750\n"
    assert box.get("/user-home-dir").json == box.get("/project-dir").json == {"dir": "/home/daytona"}
    assert box.get("/work-dir").json == {"dir": "/home/daytona"}


def test_environment(box):
    env = dict(line.split("=", 1) for line in box.sh("env").splitlines())
    assert env.pop("DAYTONA_COMMAND_ID")
    for shells_own in ("PWD", "SHLVL", "_", "OLDPWD"):
        env.pop(shells_own, None)
    assert env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/home/daytona",
        "USER": "daytona", "LOGNAME": "daytona", "SHELL": "/bin/bash", "LANG": "C.UTF-8", "FOO": "bar baz",
        "DAYTONA_SANDBOX_ID": box.config["id"], "DAYTONA_SANDBOX_USER": "daytona"}


def test_privileges(box):
    own = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{box.pid}/status").read_text().splitlines()
               if line.startswith(("Cap", "Uid", "Groups")))
    assert own["Uid"].split() == ["1000"] * 4
    assert own["CapEff"] == own["CapPrm"] == "0000000000000020", "CAP_KILL and nothing else"
    assert own["CapInh"] == own["CapAmb"] == "0000000000000000"
    commands = box.sh("grep ^Cap /proc/self/status")
    assert "CapEff:\t0000000000000000" in commands and "CapPrm:\t0000000000000000" in commands
    # Not dumpable: nobody with the same uid can look into it.
    assert box.run("ls /proc/1/fd/ || cat /proc/1/environ").json["exitCode"] != 0


def test_commands_get_nothing_of_ours(box):
    assert box.sh("ls /proc/self/fd") == "0\n1\n2\n3\n"  # 3 is ls reading the folder
    assert box.sh("readlink /proc/self/fd/0") == "/dev/null\n"
    assert box.sh("cat /proc/self/oom_score_adj") == "500\n"
    assert pathlib.Path(f"/proc/{box.pid}/oom_score_adj").read_text() == "0\n"
    assert box.sh("grep -E '^Sig(Ign|Blk)' /proc/self/status | cut -f2 | sort -u") == "0000000000000000\n"
    assert box.sh("[ $(ps -o sid= -p $$) = $$ ] && [ $(ps -o pgid= -p $$) = $$ ] && echo own") == "own\n"


def program_kb(box):
    """How much of its program the toolbox has in its page tables."""
    maps = pathlib.Path(f"/proc/{box.pid}/smaps").read_text()
    return sum(map(int, re.findall(r"r-xp .*/daytona-toolbox.*\nSize:.*\n(?:\w+PageSize:.*\n)*Rss: +(\d+)", maps)))


def test_idle_memory_is_given_back(box):
    """And what was given back comes again when it is needed."""
    for _ in range(3):
        assert box.sh("seq 100000 | tail -n 1") == "100000\n"
        deadline = time.monotonic() + 60
        while not 0 < program_kb(box) < 600:
            assert time.monotonic() < deadline, f"{program_kb(box)} kB of its program are resident"
            time.sleep(0.1)


def test_user_that_is_not_there():
    with Box(user="nobody-here") as b:
        assert b.sh("id -u") == "0\n"
        assert "nobody-here" in b.log


def test_user_by_number():
    with Box(user="1234:44", workdir="/nowhere") as b:
        assert b.sh("id -u; id -g; pwd") == "1234\n44\n/\n"


def test_bad_configuration_is_told(tmp_path):
    config = os.memfd_create("config")
    os.write(config, b'{"id": 5}')
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def descriptors():
        a, b = os.dup2(listener.fileno(), 100), os.dup2(config, 101)
        os.dup2(a, 3), os.dup2(b, 4)
    done = subprocess.run([program("daytona-toolbox")], preexec_fn=descriptors, close_fds=False,
                          capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"id must be a string" in done.stderr


# --- commands ---

def test_results(box):
    assert box.run("echo a; echo b >&2; exit 3").json == {"exitCode": 3, "result": "a\nb\n", "code": 3}
    assert box.run("kill -9 $$").json["exitCode"] == -1
    missing = box.run("no-such-program").json  # known bug 2283: neither the status nor a word about it
    assert missing["exitCode"] == 127 and "no-such-program: " in missing["result"]
    assert box.run("cat").json == {"exitCode": 0, "result": "", "code": 0}
    assert box.run("echo $X-$FOO", envs={"X": "a b", "FOO": "mine"}).json["result"] == "a b-mine\n"
    assert box.run("pwd", cwd="/usr").json["result"] == "/usr\n"
    assert box.run("ls -d /usr", cwd="../..").json["result"] == "/usr\n"
    assert box.run("[[ a == a ]] && echo bash").json["result"] == "bash\n"


def test_split(box):
    got = box.run("printf out; printf err >&2; exit 7", split=True).json
    assert got.pop("durationMs") >= 0
    assert got == {"exitCode": 7, "stdout": "out", "stderr": "err", "stdoutBytes": 3, "stderrBytes": 3,
                   "stdoutOmitted": 0, "stderrOmitted": 0}


def test_default_timeout(box):
    """Of the API's path, which says so; a time that is named wins, and split callers have their own."""
    def attempt(seconds):
        answer = box.run("echo before; sleep 4003", headers={"X-Daytona-Default-Timeout": str(seconds)})
        assert answer.status == 408 and answer.json["code"] == "PROCESS_EXECUTION_TIMEOUT" and box.processes("4003") == 0
        return answer.json["result"]
    assert with_time_enough(attempt, bool) == "before\n"
    soon = {"X-Daytona-Default-Timeout": "1"}
    assert box.run("sleep 1.5", headers=soon, timeout=60).status == 200
    assert box.run("sleep 1.5", headers=soon, split=True).status == 200
    assert box.run("sleep 1.5").status == 200


def test_code_is_for_callers_that_are_no_sdk(box):
    assert box.run("exit 3").json == {"exitCode": 3, "code": 3, "result": ""}
    for headers in ({"X-Daytona-Source": "sdk-go"}, {"X-Daytona-SDK-Version": "0.27.0"}, {"X-Daytona-Route": "api"}):
        assert box.run("exit 3", headers=headers).json == {"exitCode": 3, "result": ""}
    assert box.run("exit 3", headers={"X-Daytona-Source": "sdk-go"}, cwd="/nowhere").json["exitCode"] == -1


def test_bug_20_a_command_reads_nothing_of_its_own_text(box):
    assert box.sh("cat\nread x; echo \"[$x]\"\necho end") == "[]\nend\n"


def test_split_cut(box):
    got = box.run("seq 100000; seq 50 >&2", split=True, headers={"X-Daytona-Output-Limit": "1000"}).json
    text = "".join(f"{i}\n" for i in range(1, 100001))
    assert got["stdout"] == text[:500] and got["stdoutTail"] == text[-500:]
    assert got["stdoutBytes"] == len(text) and got["stdoutOmitted"] == len(text) - 1000
    assert "stderrTail" not in got and "stderrPath" not in got and got["stderrOmitted"] == 0
    assert box.get(box.query("/files/download", path=got["stdoutPath"])).body == text.encode()
    assert box.sh(f"stat -c %a:%U {got['stdoutPath']}") == "600:daytona\n"


def test_output_files_are_limited(box):
    for _ in range(25):
        box.run("seq 1000", split=True, headers={"X-Daytona-Output-Limit": "64"})
    assert int(box.sh("ls /tmp/.daytona/output | wc -l")) <= 20


def test_binary_output(box):
    got = box.run(r"printf 'a\377\000\342\202b'; head -c 100000 /dev/urandom", split=True).json
    assert got["stdout"].startswith("a\ufffd\0\ufffd")
    assert got["stdoutBytes"] == 100006
    assert len(box.get(box.query("/files/download", path=got["stdoutPath"])).body) == 100006
    assert box.run(r"printf '\000'").json == {"exitCode": 0, "result": "\0", "code": 0}


def test_bad_requests(box):
    for body, words in [
            ({"command": " \n"}, "empty"), ({}, "command is required"), ({"command": 5}, "command must be a string"),
            ({"command": "x", "envs": {"A-B": "c"}}, "A-B"), ({"command": "x", "envs": {"A": 1}}, "envs.A must be"),
            ({"command": "x", "timeout": -1}, "timeout"), ({"command": "a\0b"}, "NUL"),
            ({"command": "x", "envs": {"A": "b\0"}}, "NUL"), ([], "object"), ("{", "")]:
        answer = box.post("/process/execute", body)
        assert answer.status == 400, body
        failure = answer.json
        assert words in failure["message"]
        assert failure["statusCode"] == 400 and failure["source"] == "DAYTONA_DAEMON"
        assert failure["method"] == "POST" and failure["path"] == "/process/execute"
        assert failure["error"] == failure["message"] and failure["timestamp"].endswith("Z")


def test_missing_folder(box):
    answer = box.run("ls", split=True, cwd="/nowhere/at/all")
    assert answer.status == 404 and "/nowhere/at/all" in answer.json["message"]
    old = box.run("ls", cwd="/nowhere/at/all")
    assert old.status == 200 and old.json["exitCode"] == -1 and "/nowhere/at/all" in old.json["result"]
    assert box.run("ls", split=True, cwd="/etc/passwd").status == 404
    assert box.run("ls", split=True, cwd="/root").status == 403


def test_bug_21_the_shell_is_one_that_is_there():
    """/etc/shells names some that are not, and which one it was decided what a command's words are."""
    with Box() as b:
        (b.dir / "etc" / "shells").write_text("/bin/zsh\n/usr/bin/zsh\n")
        assert b.sh("x='a  b'; set -- $x; echo $#") == "2\n"
        assert b.post("/process/session", {"sessionId": "s"}).status == 201
        answer = b.post("/process/session/s/exec", {"command": "set -- $FOO; echo $#"}, {"X-Daytona-SDK-Version": "0.190.1"})
        assert (answer.json["exitCode"], answer.json["stdout"]) == (0, "2\n")


def test_no_shell():
    with Box(user="root") as b:
        subprocess.run(["nsenter", "-t", str(b.pid), "--mount", "mount", "-t", "tmpfs", "none", "/usr/bin"], check=True)
        subprocess.run(["nsenter", "-t", str(b.pid), "--mount", "sh", "-c", "true"], check=False)
        answer = b.run("ls", split=True)
        assert answer.status == 501 and "shell" in answer.json["message"]


def test_large_command(box):
    text = "x" * 300000
    assert box.sh(f"A={text}; echo ${{#A}}") == "300000\n"
    assert box.sh(f"echo {text} | wc -c") == "300001\n"


def test_legacy_encoding(box):
    # Value and command as the old clients encode them; `$(…)` must be expanded once, inside.
    def coded(text):
        return base64.b64encode(text.encode()).decode()
    value, script = "$HOME\"';|&", 'echo "[$A]"'
    assert box.sh(f"sh -c \"export A=$(echo '{coded(value)}' | base64 -d); "
                  f"echo '{coded(script)}' | base64 -d | sh\"") == f"[{value}]\n"
    # Anything else is for a real shell.
    assert box.sh("sh -c \"echo \\$HOME $((1+1))\"") == "/home/daytona 2\n"


def test_timeout_kills_everything(box):
    """Known bug 2602: it took until all of the tree had ended."""
    def whole(seconds):
        began = time.monotonic()
        answer = box.run("echo before; sleep 4001 & setsid sleep 4001 & (setsid sh -c 'sleep 4001; :' &) ; "
                         "nohup sleep 4001 & /home/rootsleep 4001", timeout=seconds)
        assert seconds * 0.9 < time.monotonic() - began < 300
        assert answer.status == 408 and answer.json["code"] == "PROCESS_EXECUTION_TIMEOUT"
        wait_for(lambda: box.processes("4001") == 0)
        return answer.json["result"]
    assert with_time_enough(whole, bool) == "before\n"

    def split(seconds):
        answer = box.run("echo before; sleep 4002", split=True, timeout=seconds)
        assert answer.status == 408 and answer.json["timedOut"] is True
        wait_for(lambda: box.processes("4002") == 0)
        return answer.json["stdout"]
    assert with_time_enough(split, bool, (0.3, 3, 20)) == "before\n"


def test_background_process_does_not_delay(box):
    """Known bug 22 of the code: here there would be no answer."""
    answer = box.run("(while sleep 0.05; do echo tick; done; echo over) & echo started")
    assert answer.json["exitCode"] == 0 and "started\n" in answer.json["result"]
    # It goes on, and what it prints neither blocks nor kills it.
    time.sleep(0.5)
    assert int(box.sh("pgrep -c -f tic[k]")) >= 1
    box.sh("pkill -f tic[k]")


def test_busy_background_process(box):
    answer = box.run("yes & echo $!", split=True)
    assert answer.json["exitCode"] == 0
    box.sh(f"kill {answer.json['stdout'].split()[0]} || pkill -x yes")


def test_disconnect_kills(box):
    connection = box.connection()
    connection.request("POST", "/process/execute", json.dumps({"command": "sleep 4003 & setsid sleep 4003"}))
    wait_for(lambda: box.processes("4003") >= 2)
    connection.close()
    wait_for(lambda: box.processes("4003") == 0)


def test_many_at_once(box):
    """64 of them, each of which ends when all of them are there."""
    meet = "mkdir -p /tmp/meet; : > /tmp/meet/{0}; until set -- /tmp/meet/*; [ $# -ge 64 ]; do sleep 0.3; done; echo {0}"
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        got = list(pool.map(lambda i: box.sh(meet.format(i)), range(128)))
    assert got == [f"{i}\n" for i in range(128)]
    box.sh("rm -r /tmp/meet")


def test_zombies_are_reaped(box):
    box.sh("for i in $(seq 3000); do (true &) ; done")
    wait_for(lambda: int(box.sh("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")) == 0)
    assert box.get("/version").status == 200


def test_gigabyte_of_output(real):
    before = real.memory()
    answer = real.run("head -c 1073741824 /dev/zero; echo end", split=True)
    got = answer.json
    assert got["stdoutBytes"] == 1073741828 and got["stdoutTail"].endswith("end\n")
    assert got["stdoutOmitted"] == 1073741828 - 65536
    # /tmp here is small or large; the count is exact either way.
    assert real.memory("VmHWM") - before < 4096, "KiB more than before"
    real.sh("rm -rf /tmp/.daytona")


def test_gigabyte_without_split(real):
    got = real.run("yes | head -c 1073741824").json
    assert got["exitCode"] == 0 and "bytes left out" in got["result"]
    assert len(got["result"]) < 5 * 1024 * 1024
    assert real.memory("VmHWM") < 64 * 1024
    real.sh("rm -rf /tmp/.daytona")
    wait_for(lambda: real.memory() < 4096)


def test_idle_memory(real):
    real.sh("echo warm")

    def anonymous():
        text = pathlib.Path(f"/proc/{real.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.M).group(1))
    wait_for(lambda: anonymous() < 250)  # KiB of private memory
    wait_for(lambda: "Threads:\t1\n" in pathlib.Path(f"/proc/{real.pid}/status").read_text())


def test_term_ends_the_stubborn():
    """They have their time; where there are none, nobody waits for it."""
    def end(command):
        with Box() as b:
            b.run(command)
            began = time.monotonic()
            os.kill(b.pid, signal.SIGTERM)
            b.process.wait(60)
            return time.monotonic() - began
    assert end("trap '' TERM; (while :; do sleep 0.1; done) & echo") > 2.5
    assert any(end("sleep 1000 & echo") < 2 for _ in range(10))


def test_nobody_inside_ends_it(root, box):
    for b in (root, box):
        b.run("kill -TERM 1; kill -KILL 1; kill -STOP 1; kill -HUP 1; kill -SEGV 1")
        assert b.get("/version").status == 200


def test_fork_bomb_is_killed(box):
    bomb = "f() { f & f & sleep 4004; }; ulimit -u 300; f"
    assert box.run(bomb, timeout=2).status == 408
    wait_for(lambda: box.processes("4004") == 0 and box.processes("ulimit -u") == 0)


# --- files ---

def upload(b, path, data, **query):
    return b.post(b.query("/files/upload-raw", path=path, **query), data)


def download(b, path, **headers):
    return b.get(b.query("/files/download", path=path), headers=headers)


@pytest.mark.parametrize("data", [b"", b"\0", b"\r\n--x\r\n\xff\xfe\0", os.urandom(3_000_000)])
def test_bytes_survive(box, data):
    assert upload(box, "deep/er/file", data).json == {"path": "/home/daytona/deep/er/file", "size": len(data)}
    answer = download(box, "deep/er/file")
    assert answer.status == 200 and answer.body == data
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    box.sh("rm -r deep")


def test_upload_modes(box):
    upload(box, "m", b"1")
    box.sh("chmod 751 m")
    upload(box, "m", b"2")
    assert box.sh("stat -c %a m; cat m") == "751\n2"
    refused = upload(box, "m", b"3", overwrite="false")
    assert refused.status == 409 and refused.json["code"] == "FILE_EXISTS"
    upload(box, "m", b"4", mode="0600")
    assert box.sh("stat -c %a m; cat m") == "600\n4"
    assert upload(box, "m", b"5", mode="abc").status == 400
    assert upload(box, "m/x", b"5").status == 400
    assert upload(box, "/proc/nope", b"5").status in (403, 404)
    assert upload(box, "/root/x", b"5").status == 403
    assert upload(box, "/home/daytona", b"5").json["code"] == "INVALID_FILE_PATH"
    box.sh("rm m")


def test_upload_that_breaks_leaves_nothing(box):
    box.sh("mkdir broken; echo old > broken/f")
    connection = box.connection()
    connection.putrequest("POST", "/files/upload-raw?path=broken/f")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 1000)
    wait_for(lambda: box.sh("ls -A broken | wc -l") == "2\n")
    connection.close()
    wait_for(lambda: box.sh("ls -A broken; cat broken/f") == "f\nold\n")
    box.sh("rm -r broken")


def test_disk_full_is_told(root):
    root.sh("mkdir small && mount -t tmpfs -o size=1m none small")
    answer = upload(root, "small/f", b"x" * 3_000_000)
    assert answer.status == 500 and "No space" in answer.json["message"]
    assert root.sh("ls -A small | wc -l; umount small") == "0\n"


def test_large_transfer_is_streamed(real):
    size, piece = 200 * 1024 * 1024, os.urandom(1024 * 1024)
    digest = hashlib.sha256(piece * (size // len(piece))).hexdigest()
    upload(real, "big", (piece for _ in range(size // len(piece))))
    assert real.sh("sha256sum big").split()[0] == digest
    connection = real.connection()
    connection.request("GET", "/files/download?path=big")
    response = connection.getresponse()
    time.sleep(0.3)  # a reader that is slow must not make it read ahead
    got = hashlib.sha256()
    while data := response.read(1 << 20):
        got.update(data)
    assert got.hexdigest() == digest
    assert real.memory("VmHWM") < 8192


def test_ranges(box):
    upload(box, "r", b"0123456789")
    for wanted, status, body, header in [
            ("bytes=0-3", 206, b"0123", "bytes 0-3/10"), ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
            ("bytes=-2", 206, b"89", "bytes 8-9/10"), ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
            ("bytes=-100", 206, b"0123456789", "bytes 0-9/10"), ("bytes=10-", 416, None, "bytes */10"),
            ("bytes=5-2", 200, b"0123456789", None), ("lines=1-2", 200, b"0123456789", None),
            ("bytes=0-1,4-5", 200, b"0123456789", None)]:
        answer = download(box, "r", Range=wanted)
        assert answer.status == status, wanted
        assert answer.headers["Content-Range"] == header
        if body is not None:
            assert answer.body == body and answer.headers["Content-Length"] == str(len(body))
    stamp = download(box, "r").headers["Last-Modified"]
    assert download(box, "r", **{"If-Modified-Since": stamp}).status == 304
    assert download(box, "r", **{"If-Range": stamp, "Range": "bytes=0-0"}).status == 206
    assert download(box, "r", **{"If-Range": "Mon, 01 Jan 2001 00:00:00 GMT", "Range": "bytes=0-0"}).status == 200


@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/operstate"])
def test_files_of_the_kernel(box, path):
    """They tell no size, or another one than they have."""
    whole = box.sh(f"cat {path}").encode()
    answer = download(box, path)
    assert answer.status == 200 and answer.body == whole != b"" and answer.headers["Content-Length"] == str(len(whole))
    answer = download(box, path, Range="bytes=1-4")
    assert (answer.status, answer.body) == (206, whole[1:5])
    assert answer.headers["Content-Range"] == f"bytes 1-4/{len(whole)}"


def test_what_cannot_be_downloaded(box):
    box.sh("mkfifo pipe; mkdir d; ln -sf pipe linked")
    for path in ("pipe", "linked", "/dev/zero", "d"):
        answer = download(box, path)
        assert answer.status == 400 and answer.json["code"] == "INVALID_FILE_PATH", path
    upload(box, "d/f", b"12345")
    head = box.request("HEAD", "/files/download?path=d/f")
    assert head.status == 200 and head.body == b"" and head.headers["Content-Length"] == "5"
    assert download(box, "missing").json["code"] == "FILE_NOT_FOUND"
    assert download(box, "/etc/shadow-" if os.path.exists("/etc/shadow-") else "/root/x").status in (403, 404)
    assert box.get("/files/download").status == 400
    assert box.get("/files/download?path=a%00b").json["code"] == "INVALID_FILE_PATH"
    assert box.get(box.query("/files/download", path="x" * 5000)).status == 400
    assert b"MemTotal" in download(box, "/proc/meminfo").body
    box.sh("rm -r pipe linked d")


def test_names(box):
    names = ["plain", "with space", "new\nline", "quote\"'", "émoji-🎉", "-dash", "back\\slash", "per%20cent", "tab\t"]
    box.sh("mkdir names")
    for name in names:
        assert upload(box, "names/" + name, name.encode()).status == 200
        assert download(box, "names/" + name).body == name.encode()
    box.sh(r"cd names && touch \"$(printf 'bad\377utf8')\" && ln -s nowhere dangling && mkdir sub".replace('\\"', '"'))
    listed = box.get("/files?path=names").json
    assert [f["name"] for f in listed] == sorted(
        names + ["bad\ufffdutf8", "dangling", "sub"], key=lambda n: n.replace("\ufffd", "\udcff").encode(
            errors="surrogateescape"))
    by_name = {f["name"]: f for f in listed}
    assert by_name["sub"]["isDir"] and by_name["sub"]["mode"] == "drwxr-xr-x"
    assert by_name["dangling"]["mode"].startswith("L")
    assert box.get("/files/?path=names").json == listed
    assert box.get("/files/info?path=names/dangling").json["name"] == "dangling"
    info = box.get(box.query("/files/info", path="names/plain")).json
    assert info == by_name["plain"]
    assert set(info) == {"name", "isDir", "size", "modTime", "modifiedAt", "mode", "permissions", "owner", "group"}
    assert info["owner"] == "1000" and info["size"] == 5 and info["permissions"] == "0644"
    disposition = download(box, "names/tab\t").headers["Content-Disposition"]
    assert disposition == "attachment; filename=\"tab_\"; filename*=utf-8''tab%09"
    assert box.request("DELETE", "/files?path=names&recursive=true").status == 204


def test_list_errors(box):
    assert box.get("/files?path=/etc/passwd").status == 400
    assert box.get("/files?path=missing").json["code"] == "FILE_NOT_FOUND"
    assert box.get("/files?path=/root").json["code"] == "FILE_ACCESS_DENIED"
    box.sh("mkdir empty")
    assert box.get("/files?path=empty").body == b"[]"
    box.sh("rmdir empty")
    assert isinstance(box.get("/files").json, list)


def test_huge_folder(real):
    real.sh("mkdir many && cd many && seq -f 'name-%06g' 120000 | xargs touch")
    began = time.monotonic()
    connection = real.connection()
    connection.request("GET", "/files?path=many")
    response = connection.getresponse()
    # Others are served meanwhile.
    assert real.get("/version").status == 200
    assert response.headers["X-Daytona-Truncated"] == "true"
    assert response.headers["X-Daytona-Total-Entries"] == "120000"
    assert len(json.loads(response.read())) == 100000
    assert time.monotonic() - began < 300
    assert real.memory("VmHWM") < 24 * 1024


def test_folders(box):
    assert box.post("/files/folder?path=f/g/h&mode=0700").status == 201
    assert box.post("/files/folder?path=f/g/h").status == 201
    assert box.sh("stat -c %a f f/g f/g/h") == "700\n700\n700\n"
    upload(box, "f/file", b"")
    assert box.post("/files/folder?path=f/file").status == 400
    assert box.post("/files/folder?path=f/x&mode=9").status == 400
    assert box.post("/files/folder?path=/root/x").status == 403
    assert box.request("DELETE", "/files?path=f").status == 400
    assert box.request("DELETE", "/files/?path=f/file").status == 204
    assert box.request("DELETE", "/files?path=f&recursive=true").status == 204
    assert box.request("DELETE", "/files?path=f&recursive=true").status == 404
    for path in ("/", ".", "..", "/home/daytona/.."):
        assert box.request("DELETE", box.query("/files", path=path, recursive="true")).status == 400
    box.sh("mkdir t; ln -s t l; touch t/keep")
    assert box.request("DELETE", "/files?path=l").status == 204
    assert box.sh("ls t") == "keep\n"
    assert box.request("DELETE", "/files?path=/etc/passwd").status == 403
    box.sh("rm -r t")


def test_move(box):
    def move(a, b):
        return box.post(box.query("/files/move", source=a, destination=b))
    upload(box, "a", b"A")
    upload(box, "b", b"B")
    assert move("a", "b").status == 409
    assert move("a", "c").status == 200 and box.sh("cat c") == "A"
    assert move("a", "d").json["code"] == "FILE_NOT_FOUND"
    assert move("c", "no/where").status == 404
    # Another file system, with everything that is in the folder.
    box.sh("mkdir -p tree/sub && echo x > tree/sub/x && chmod 640 tree/sub/x && ln -s sub/x tree/l && "
           "touch -d '2001-02-03 04:05:06' tree/sub/x && chmod 711 tree/sub && mkfifo tree/p")
    assert move("tree", "/tmp/tree").status == 200
    assert box.sh("cd /tmp/tree; stat -c %a:%Y sub/x; stat -c %a sub; readlink l; test -p p && echo pipe; ls -d ~/tree || :") == \
        "640:981173106\n711\nsub/x\npipe\nls: cannot access '/home/daytona/tree': No such file or directory\n"
    assert move("c", "/tmp/tree/sub/x").status == 409
    assert box.sh("ls -A /tmp/tree/sub") == "x\n"
    box.sh("mkdir in")
    assert move("in", "in/in").status == 400
    box.sh("rm -r in b c /tmp/tree")


def test_permissions(root):
    upload(root, "p", b"")
    def change(**q):
        return root.post(root.query("/files/permissions", path="p", **q))
    assert change(mode="0640", owner="daytona", group="video").status == 200
    assert root.sh("stat -c %a:%u:%g p") == "640:1000:44\n"
    assert change(owner="0", group="0").status == 200
    assert root.sh("stat -c %a:%u:%g p") == "640:0:0\n"
    assert "user not found" in change(owner="nobody-here").json["message"]
    assert "group not found" in change(group="nobody-here").json["message"]
    assert change(mode="x").status == 400


def form(parts, boundary="XX"):
    body = b""
    for name, filename, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"\r\n\r\n'.encode() if filename else b"\r\n\r\n"
        body += data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_bulk_upload(box):
    data = os.urandom(500000)
    body, headers = form([("files[0].path", None, b" bulk/one "), ("files[x].path", None, b"bulk/two"),
                          ("files[0].file", "f", data), ("files[x].file", "f", b"")])
    assert box.post("/files/bulk-upload", body, headers).json == {
        "files": [{"path": "bulk/one", "bytes": 500000}, {"path": "bulk/two", "bytes": 0}]}
    assert download(box, "bulk/one").body == data
    body, headers = form([("files[0].file", "f", b"x"), ("files[1].path", None, b""),
                          ("files[2].path", None, b"/root/no"), ("files[2].file", "f", b"x"),
                          ("files[3].path", None, b"bulk/three"), ("files[3].file", "f", b"3")])
    answer = box.post("/files/bulk-upload", body, headers)
    assert answer.status == 400
    assert answer.json["errors"][:2] == ["file[0]: missing .path metadata", "path[1]: empty path"]
    assert answer.json["errors"][2].startswith("/root/no: ")
    assert answer.json["files"] == [{"path": "bulk/three", "bytes": 1}]
    assert box.post("/files/bulk-upload", b"x", {"Content-Type": "text/plain"}).json["errors"] == \
        ["invalid multipart form"]
    body, headers = form([("files[0].path", None, b"bulk/half"), ("files[0].file", "f", b"x" * 1000)])
    assert box.post("/files/bulk-upload", body[:-20], headers).status == 400
    assert box.sh("ls -A bulk") == "one\nthree\ntwo\n"
    box.sh("rm -r bulk")


def test_form_upload(box):
    body, headers = form([("other", None, b"x"), ("file", "name", b"content")])
    answer = box.post("/files/upload?path=up/loaded", body, headers)
    assert answer.status == 200 and answer.body == b""
    assert download(box, "up/loaded").body == b"content"
    body, headers = form([("other", None, b"x")])
    assert box.post("/files/upload?path=up/loaded", body, headers).status == 400
    box.sh("rm -r up")


def test_bulk_download(box):
    data = os.urandom(300000)
    upload(box, "bd 1", data)
    upload(box, "bd2", b"")
    box.sh("mkfifo bdp")
    answer = box.post("/files/bulk-download", {"paths": ["bd 1", "missing", "bd2", "bdp", "/etc"]})
    boundary = re.fullmatch("multipart/form-data; boundary=(.+)", answer.headers["Content-Type"]).group(1).encode()
    assert answer.body.endswith(b"\r\n--" + boundary + b"--\r\n")
    parts = answer.body[len(boundary) + 2:-len(boundary) - 8].split(b"\r\n--" + boundary)
    heads, bodies = zip(*(p[2:].split(b"\r\n\r\n", 1) for p in parts))
    assert [b'name="file"' in h for h in heads] == [True, False, True, False, False]
    assert bodies[0] == data and b"Content-Length: 300000" in heads[0]
    assert b"filename*=utf-8''bd%201" in heads[0]
    assert json.loads(bodies[1])["code"] == "FILE_NOT_FOUND" and json.loads(bodies[1])["path"] == "missing"
    assert bodies[2] == b"" and b"Content-Length: 0" in heads[2]
    assert json.loads(bodies[3])["code"] == json.loads(bodies[4])["code"] == "INVALID_FILE_PATH"
    assert box.post("/files/bulk-download", {"paths": []}).status == 400
    assert box.post("/files/bulk-download", "nope").status == 400
    box.sh("rm 'bd 1' bd2 bdp")


def test_unknown_operations(box):
    for method, path in [("GET", "/nope"), ("POST", "/version"), ("DELETE", "/"), ("GET", "/port/1/2"), ("PUT", "/files")]:
        answer = box.request(method, path)
        assert answer.status == 404, path
        assert answer.json["code"] == "NOT_FOUND" and answer.json["source"] == "DAYTONA_DAEMON"
    assert box.get("/version/").status == 200


# --- ports ---

@pytest.fixture(scope="module")
def servers(box):
    process = box.beside(HERE / "toolbox_servers.py")
    wait_for(lambda: box.listens(3001) and box.listens(3002))
    yield process
    process.kill()
    process.wait()


def test_ports(box, servers):
    assert box.get("/port").json == {"ports": [3001, 3002]}
    assert box.get("/port/3001/in-use").json == {"isInUse": True}
    assert box.get("/port/3003/in-use").json == {"isInUse": False}
    for bad in ("0", "65536", "x", "-1", "03001"):
        assert box.get(f"/port/{bad}/in-use").status == 400
