// What the documentation of the Go SDK shows, done with the version that this is compiled with.
//
// Usage: NAME PART [ARGUMENT...]; it prints "ok" when everything was as it must be.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

const limit = 3 * time.Minute

var parts = map[string]func(context.Context, *daytona.Client){
	"code":     code,
	"files":    files,
	"git":      git,
	"life":     life,
	"lsp":      languageServers,
	"process":  process,
	"pty":      pty,
	"sessions": sessions,
	"volumes":  volumes,
}

func main() {
	if len(os.Args) < 2 || parts[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: NAME PART [ARGUMENT...]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	client := get(daytona.NewClient())
	parts[os.Args[1]](ctx, client)
	must(client.Close(ctx))
	fmt.Println("ok")
}

// create makes a sandbox as the documentation does: of the default snapshot, for Python.
func create(ctx context.Context, client *daytona.Client) *daytona.Sandbox {
	return get(client.Create(ctx, types.SnapshotParams{
		SandboxBaseParams: types.SandboxBaseParams{Language: types.CodeLanguagePython},
	}))
}

// run does a command that must succeed, and gives its output.
func run(ctx context.Context, sandbox *daytona.Sandbox, command string) string {
	done := get(sandbox.Process.ExecuteCommand(ctx, command))
	if done.ExitCode != 0 {
		fail("%s: status %d: %s", command, done.ExitCode, done.Result)
	}
	return done.Result
}
