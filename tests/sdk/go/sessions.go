package main

import (
	"context"
	"strings"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	toolbox "github.com/daytonaio/daytona/libs/toolbox-api-client-go"
)

const session = "my-session"

// follow starts a command and reads what it writes, as it comes.
func follow(ctx context.Context, p *daytona.ProcessService, command string) (id, out, bad string, pieces int) {
	started := get(p.ExecuteSessionCommand(ctx, session, command, true, true))
	id = started["id"].(string)
	equal(started["exitCode"], nil)
	stdout, stderr, end := make(chan string, 100), make(chan string, 100), make(chan error, 1)
	go func() { end <- p.GetSessionCommandLogsStream(ctx, session, id, stdout, stderr) }()
	for stdout != nil || stderr != nil {
		select {
		case text, more := <-stdout:
			out += text
			pieces++
			if !more {
				stdout = nil
			}
		case text, more := <-stderr:
			bad += text
			if !more {
				stderr = nil
			}
		}
	}
	must(<-end)
	return id, out, bad, pieces
}

// sessions are shells that stay; their commands are waited for, or followed.
func sessions(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	p := sandbox.Process
	must(p.CreateSession(ctx, session))
	refused(p.CreateSession(ctx, session), 409, "already exists")
	do := func(command string) map[string]any {
		return get(p.ExecuteSessionCommand(ctx, session, command, false, false))
	}
	equal(do("export GREETING='hi there'; cd /tmp")["exitCode"], int32(0))
	second := do("echo \"$GREETING from $PWD\"; echo oops >&2; false")
	equal(second["exitCode"], int32(1))
	id := second["id"].(string)
	sessionTexts(ctx, p, second, "hi there from /tmp\n", "oops\n")

	shown := get(p.GetSession(ctx, session))
	commands := shown["commands"].([]toolbox.Command)
	equal([]any{shown["sessionId"], len(commands), commands[0].GetExitCode(), commands[1].GetExitCode()},
		[]any{session, 2, int32(0), int32(1)})
	equal(get(p.GetSessionCommand(ctx, session, id)), map[string]any{
		"id": id, "command": "echo \"$GREETING from $PWD\"; echo oops >&2; false", "exitCode": int32(1)})
	equal(get(p.ListSessions(ctx))[0]["sessionId"], session)

	id, out, bad, pieces := follow(ctx, p, "for i in 1 2 3; do echo \"Count: $i\"; sleep 0.2; done; echo 'ümläut ☃' >&2")
	equal([]string{out, bad}, []string{"Count: 1\nCount: 2\nCount: 3\n", "ümläut ☃\n"})
	if pieces < 3 {
		fail("it came in %d pieces", pieces)
	}
	equal(get(p.GetSessionCommand(ctx, session, id))["exitCode"], int32(0))
	_, out, bad, _ = follow(ctx, p, "seq 200000; echo last >&2")
	equal([]any{len(out), strings.HasSuffix(out, "\n199999\n200000\n"), bad}, []any{1288895, true, "last\n"})
	_, err := p.GetSessionCommand(ctx, session, "no-such-command")
	refused(err, 404, "not found")
	entrypoint(ctx, p)

	equal(do("exit 4")["exitCode"], int32(4))
	_, err = p.ExecuteSessionCommand(ctx, session, "true", false, false)
	refused(err, 410, "ended")
	must(p.DeleteSession(ctx, session))
	_, err = p.GetSession(ctx, session)
	refused(err, 404, "session not found")
	equal(len(get(p.ListSessions(ctx))), 0)
	must(sandbox.Delete(ctx))
}
