package main

import (
	"context"
	"strings"
	"sync"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// The echo of what is typed must not look like the question.
const question = `printf "Are you accepting the terms and conditions? (y/%s): " n && read confirm && ` +
	`if [ "$confirm" = "y" ]; then echo "You accepted"; else echo "You did not accept"; fi` + "\n"

// screen gathers what a terminal shows.
type screen struct {
	lock sync.Mutex
	text strings.Builder
}

func watch(handle *daytona.PtyHandle) *screen {
	s := &screen{}
	go func() {
		for data := range handle.DataChan() {
			s.lock.Lock()
			s.text.Write(data)
			s.lock.Unlock()
		}
	}()
	return s
}

func (s *screen) until(text string) {
	until(text, func() bool {
		s.lock.Lock()
		defer s.lock.Unlock()
		return strings.Contains(s.text.String(), text)
	})
}

// pty uses terminals: one that asks, seen twice, and one that is killed.
func pty(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	p := sandbox.Process
	handle := get(p.CreatePty(ctx, "interactive-session", options.WithCreatePtySize(types.PtySize{Rows: 100, Cols: 200}),
		options.WithCreatePtyEnv(map[string]string{"GREETING": "hé"})))
	must(handle.WaitForConnection(ctx))
	equal([]any{handle.IsConnected(), handle.SessionID()}, []any{true, "interactive-session"})
	shown := watch(handle)
	must(handle.SendInput([]byte(question)))
	shown.until("(y/n): ")
	get(handle.Write([]byte("y\n")))
	shown.until("You accepted\r\n")
	resized := get(handle.Resize(ctx, 210, 110))
	equal([]any{resized.ID, resized.Cols, resized.Rows}, []any{"interactive-session", 210, 110})
	info := get(p.GetPtySessionInfo(ctx, "interactive-session"))
	equal([]any{info.ID, info.Cols, info.Rows}, []any{"interactive-session", 210, 110})
	listed := get(p.ListPtySessions(ctx))
	equal([]any{len(listed), listed[0].ID}, []any{1, "interactive-session"})
	_, err := p.CreatePty(ctx, "interactive-session")
	refused(err, 409, "already exists")

	other := get(p.ConnectPty(ctx, "interactive-session"))
	must(other.WaitForConnection(ctx))
	again := watch(other)
	again.until("You accepted\r\n")
	must(handle.Disconnect())
	must(other.SendInput([]byte("echo =$GREETING=$(stty size)=; exit 3\n")))
	again.until("=hé=110 210=")
	result := get(other.Wait(ctx))
	equal([]any{*result.ExitCode, *result.Error}, []any{3, "non-zero exit"})

	killed := get(p.CreatePty(ctx, "killed"))
	must(killed.WaitForConnection(ctx))
	shown = watch(killed)
	must(killed.SendInput([]byte("while true; do echo \"Running: $((1 + 1))\"; sleep 0.1; done\n")))
	shown.until("\nRunning: 2")
	must(killed.Kill(ctx))
	result = get(killed.Wait(ctx))
	equal([]any{*result.ExitCode, *result.Error}, []any{137, "SIGKILL"})
	_, err = p.GetPtySessionInfo(ctx, "killed")
	refused(err, 404, "not found")
	equal(len(get(p.ListPtySessions(ctx))), 0)
	must(sandbox.Delete(ctx))
}
