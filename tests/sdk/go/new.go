//go:build !before_v0_173

// What v0.173.0 adds to v0.145.0.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"time"

	apiclient "github.com/daytonaio/daytona/libs/api-client-go"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

const charts = `
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [1, 4, 9], label='squares'); plt.title('Line'); plt.xlabel('x'); plt.ylabel('y'); plt.show()
plt.bar(['a', 'b'], [1, 2.5]); plt.show()
print('drawn')
`

// only does what this version alone does.
func only(ctx context.Context, client *daytona.Client, sandbox *daytona.Sandbox) {
	name := sandbox.Name + "-fork"
	before := run(ctx, sandbox, look)
	fork := get(sandbox.ExperimentalFork(ctx, &name))
	equal([]any{fork.Name, string(fork.State)}, []any{name, "started"})
	equal(run(ctx, fork, look), before)
	run(ctx, fork, "rm kept")
	equal(run(ctx, sandbox, look), before)
	must(fork.StopWithTimeout(ctx, time.Minute, true))
	must(fork.Delete(ctx))

	settings := apiclient.NewUpdateSandboxNetworkSettings()
	settings.SetNetworkBlockAll(true)
	must(sandbox.UpdateNetworkSettings(ctx, *settings))
	equal(get(client.Get(ctx, sandbox.ID)).NetworkBlockAll, true)
	refused(sandbox.ExperimentalCreateSnapshot(ctx, "my-snapshot"), 501, "cannot make them yet")
}

func signedPreviews(ctx context.Context, sandbox *daytona.Sandbox) {
	link := get(sandbox.GetSignedPreviewLink(ctx, 3000, 600))
	equal([]any{link.SandboxID, link.Port}, []any{sandbox.ID, 3000})
	status, page := visit(link.URL, "")
	equal([]any{status, page}, []any{200, "the page\n"})
	must(sandbox.ExpireSignedPreviewLink(ctx, 3000, link.Token))
	status, _ = visit(link.URL, "")
	equal(status, 401)
}

func commandEnv(ctx context.Context, sandbox *daytona.Sandbox) {
	done := get(sandbox.Process.ExecuteCommand(ctx, "echo \"$A\"", options.WithCommandEnv(map[string]string{"A": "a \"b\" $c"})))
	equal([]any{done.ExitCode, done.Result}, []any{0, "a \"b\" $c\n"})
}

// Answers and logs have both streams apart.
func sessionTexts(ctx context.Context, p *daytona.ProcessService, done map[string]any, out, bad string) {
	equal([]any{done["stdout"], done["stderr"]}, []any{out, bad})
	logs := get(p.GetSessionCommandLogs(ctx, session, done["id"].(string)))
	equal([]string{logs.GetStdout(), logs.GetStderr()}, []string{out, bad})
}

func entrypoint(ctx context.Context, p *daytona.ProcessService) {
	_, err := p.GetEntrypointSession(ctx)
	refused(err, 404, "entrypoint")
	_, err = p.GetEntrypointLogs(ctx)
	refused(err, 404, "entrypoint")
}

func codeRuns(ctx context.Context, sandbox *daytona.Sandbox) {
	p := sandbox.Process
	done := get(p.CodeRun(ctx, "import os, sys; print(sys.argv[1:], os.environ['X'])",
		options.WithCodeRunParams(types.CodeRunParams{Argv: []string{"a b"}, Env: map[string]string{"X": "1 2"}})))
	equal([]any{done.ExitCode, done.Result, done.Artifacts.Stdout}, []any{0, "['a b'] 1 2\n", "['a b'] 1 2\n"})
	done = get(p.CodeRun(ctx, "raise ValueError('told')"))
	equal(done.ExitCode, 1)
	holds(done.Result, "ValueError: told")
	_, err := p.CodeRun(ctx, "import time; time.sleep(60)", options.WithCodeRunTimeout(time.Second))
	refused(err, 408, "timeout")
	for _, language := range []types.CodeLanguage{types.CodeLanguageJavaScript, types.CodeLanguageTypeScript} {
		done = get(p.CodeRun(ctx, "console.log(6 * 7)", options.WithCodeRunLanguage(language)))
		equal([]any{done.ExitCode, done.Result}, []any{0, "42\n"})
	}

	drawn := get(p.CodeRun(ctx, charts))
	equal([]any{drawn.ExitCode, drawn.Result, len(drawn.Artifacts.Charts)}, []any{0, "drawn\n", 2})
	line, bar := drawn.Artifacts.Charts[0], drawn.Artifacts.Charts[1]
	equal([]string{line.GetType(), line.GetTitle(), line.GetXLabel(), line.GetYLabel(), bar.GetType()},
		[]string{"line", "Line", "x", "y", "bar"})
	equal(line.GetElements()[0].GetLabel(), "squares")
	equal(bytes.HasPrefix(get(base64.StdEncoding.DecodeString(line.GetPng())), []byte("\x89PNG")), true)
}

func fileStreams(ctx context.Context, fs *daytona.FileSystemService, big []byte) {
	stream := get(fs.DownloadFileStream(ctx, "work/big.bin"))
	equal(bytes.Equal(get(io.ReadAll(stream)), big), true)
	must(stream.Close())
	_, err := fs.DownloadFileStream(ctx, "work/missing")
	refused(err, 404, "No such file")
}
