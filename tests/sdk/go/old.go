//go:build before_v0_173

// What is another way, or not there, in v0.145.0.
package main

import (
	"context"
	"errors"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	sdk "github.com/daytonaio/daytona/libs/sdk-go/pkg/errors"
)

// only does what this version alone does.
func only(ctx context.Context, client *daytona.Client, sandbox *daytona.Sandbox) {
	equal(get(client.FindOne(ctx, nil, map[string]string{"SOME_LABEL": sandbox.Name})).ID, sandbox.ID)
	equal(get(client.FindOne(ctx, &sandbox.Name, nil)).ID, sandbox.ID)
	_, err := client.FindOne(ctx, nil, map[string]string{"SOME_LABEL": "none of these"})
	var missing *sdk.DaytonaNotFoundError
	equal(errors.As(err, &missing), true)
}

func signedPreviews(context.Context, *daytona.Sandbox) {}

// It takes an environment, and does not send it.
func commandEnv(context.Context, *daytona.Sandbox) {}

// Logs are one text, with marks where the stream changes; what a command answers has the same as `output`, which
// this version does not show.
func sessionTexts(ctx context.Context, p *daytona.ProcessService, done map[string]any, out, bad string) {
	equal([]any{done["stdout"], done["stderr"]}, []any{nil, nil})
	logs := get(p.GetSessionCommandLogs(ctx, session, done["id"].(string)))
	equal(logs["logs"], "\x01\x01\x01"+out+"\x02\x02\x02"+bad)
}

func entrypoint(context.Context, *daytona.ProcessService) {}

func codeRuns(context.Context, *daytona.Sandbox) {}

func fileStreams(context.Context, *daytona.FileSystemService, []byte) {}
