package main

import (
	"context"
	"strings"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
)

// process runs commands without a session.
func process(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	p := sandbox.Process
	done := get(p.ExecuteCommand(ctx, "pwd; echo bad >&2; exit 5", options.WithCwd("/tmp")))
	equal([]any{done.ExitCode, done.Result}, []any{5, "/tmp\nbad\n"})
	equal(get(p.ExecuteCommand(ctx, "no-such-program")).ExitCode, 127)
	equal(run(ctx, sandbox, "sleep 300 & echo now"), "now\n")
	equal(len(run(ctx, sandbox, "seq 200000")), 1288895)
	odd := "it's \"quoted\" $HOME \\ <tag> ümläut ☃"
	equal(run(ctx, sandbox, "cat <<'EOF'\n"+odd+"\nEOF"), odd+"\n")
	_, err := p.ExecuteCommand(ctx, "echo before; sleep 60", options.WithExecuteTimeout(time.Second))
	refused(err, 408, "timeout")
	_, err = p.ExecuteCommand(ctx, " ")
	refused(err, 400, "empty")
	until("the end of what was running", func() bool {
		return !strings.Contains(run(ctx, sandbox, "ps -eo args"), "sleep 60")
	})
	commandEnv(ctx, sandbox)
	must(sandbox.Delete(ctx))
	_, err = p.ExecuteCommand(ctx, "true")
	refused(err, 401, "no such sandbox")
}
