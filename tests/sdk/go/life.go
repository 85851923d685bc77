package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

const look = "stat -c '%n %a %u %g %h %s %y' kept hard"

func number(n int) *int { return &n }

// life creates sandboxes, finds them, and leads them through all states.
func life(ctx context.Context, client *daytona.Client) {
	name := fmt.Sprintf("go-%d", os.Getpid())
	labels := map[string]string{"SOME_LABEL": name}
	sandbox := get(client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{
		Name:                name,
		Language:            types.CodeLanguagePython,
		EnvVars:             map[string]string{"GREETING": "hi there"},
		Labels:              labels,
		AutoStopInterval:    number(30),
		AutoArchiveInterval: number(60),
		AutoDeleteInterval:  number(120),
	}}, options.WithTimeout(time.Minute)))
	equal([]any{sandbox.Name, string(sandbox.State), sandbox.Target}, []any{name, "started", "us"})
	equal([]int{sandbox.AutoArchiveInterval, sandbox.AutoDeleteInterval}, []int{60, 120})
	equal(run(ctx, sandbox, "echo $GREETING"), "hi there\n")
	equal(get(sandbox.GetUserHomeDir(ctx)), "/home/daytona")
	equal(get(sandbox.GetWorkingDir(ctx)), "/home/daytona")

	find(ctx, client, sandbox, labels)
	snapshots(ctx, client)
	settings(ctx, client, sandbox)
	previews(ctx, sandbox)
	states(ctx, sandbox)
	only(ctx, client, sandbox)

	must(sandbox.Delete(ctx))
	_, err := client.Get(ctx, name)
	refused(err, 404, "not found")
	ephemeral(ctx, client)
	strangers(ctx)
}

// find looks for sandboxes by id, by name, by labels, and page by page.
func find(ctx context.Context, client *daytona.Client, sandbox *daytona.Sandbox, labels map[string]string) {
	equal(get(client.Get(ctx, sandbox.ID)).Name, sandbox.Name)
	equal(get(client.Get(ctx, sandbox.Name)).ID, sandbox.ID)
	_, err := client.Get(ctx, "no-such-sandbox")
	refused(err, 404, "not found")
	_, err = client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{Name: sandbox.Name}})
	refused(err, 409, "already exists")
	_, err = client.Create(ctx, types.SnapshotParams{Snapshot: "no-such-snapshot"})
	refused(err, 400, "no-such-snapshot")

	want := []string{sandbox.ID}
	for range 2 {
		more := get(client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{Labels: labels}}))
		want = append(want, more.ID)
	}
	var seen []string
	for page := 1; page <= 2; page++ {
		listed := get(client.List(ctx, labels, number(page), number(2)))
		equal([]int{listed.Total, listed.Page, listed.TotalPages}, []int{3, page, 2})
		for _, one := range listed.Items {
			seen = append(seen, one.ID)
		}
	}
	slices.Sort(want)
	slices.Sort(seen)
	equal(seen, want)
	equal(get(client.List(ctx, map[string]string{"SOME_LABEL": "none of these"}, nil, nil)).Total, 0)
	for _, one := range get(client.List(ctx, labels, nil, nil)).Items {
		if one.ID != sandbox.ID {
			must(one.Delete(ctx))
		}
	}
	equal(get(client.List(ctx, labels, nil, nil)).Total, 1)
}

func snapshots(ctx context.Context, client *daytona.Client) {
	const name = "daytona-debian-12"
	listed := get(client.Snapshot.List(ctx, number(1), number(100)))
	at := slices.IndexFunc(listed.Items, func(s *types.Snapshot) bool { return s.Name == name })
	if at < 0 || listed.Page != 1 || listed.Total != len(listed.Items) {
		fail("%d of %d snapshots, without %s", len(listed.Items), listed.Total, name)
	}
	one := get(client.Snapshot.Get(ctx, name))
	equal([]string{one.ID, one.Name, one.State}, []string{listed.Items[at].ID, name, "active"})
	_, err := client.Snapshot.Get(ctx, "no-such-snapshot")
	refused(err, 404, "") // this SDK drops the text
	_, _, err = client.Snapshot.Create(ctx, &types.CreateSnapshotParams{Name: "mine", Image: "debian:12"})
	refused(err, 501, "")
}

func settings(ctx context.Context, client *daytona.Client, sandbox *daytona.Sandbox) {
	must(sandbox.SetLabels(ctx, map[string]string{"SOME_LABEL": sandbox.Name, "public": "false"}))
	equal(get(client.List(ctx, map[string]string{"public": "false"}, nil, nil)).Items[0].ID, sandbox.ID)
	must(sandbox.SetAutoArchiveInterval(ctx, number(90)))
	must(sandbox.SetAutoDeleteInterval(ctx, number(-1)))
	must(sandbox.RefreshData(ctx))
	equal([]int{sandbox.AutoArchiveInterval, sandbox.AutoDeleteInterval}, []int{90, -1})
}

// visit asks for a page of a preview; names below localhost are this host's (RFC 6761).
func visit(url, token string) (int, string) {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	browser := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 20 * time.Second}
	request := get(http.NewRequest("GET", url, nil))
	if token != "" {
		request.Header.Set("x-daytona-preview-token", token)
	}
	answer := get(browser.Do(request))
	defer answer.Body.Close()
	return answer.StatusCode, string(get(io.ReadAll(answer.Body)))
}

func previews(ctx context.Context, sandbox *daytona.Sandbox) {
	run(ctx, sandbox, "mkdir -p site && echo the page > site/index.html")
	run(ctx, sandbox, "cd site && python3 -m http.server 3000 >/dev/null 2>&1 &")
	run(ctx, sandbox, "for i in $(seq 200); do curl -sf localhost:3000 && exit; sleep 0.05; done; exit 1")
	link := get(sandbox.GetPreviewLink(ctx, 3000))
	status, page := visit(link.URL, link.Token)
	equal([]any{status, page}, []any{200, "the page\n"})
	status, _ = visit(link.URL, "")
	equal(status, 401)
	signedPreviews(ctx, sandbox)
}

// states stops it, archives it and resizes it; what is in it stays.
func states(ctx context.Context, sandbox *daytona.Sandbox) {
	run(ctx, sandbox, "echo kept > kept; ln kept hard; chmod 640 kept")
	before := run(ctx, sandbox, look)
	refused(sandbox.Archive(ctx), 400, "not stopped")
	must(sandbox.Stop(ctx))
	equal(string(sandbox.State), "stopped")
	must(sandbox.Resize(ctx, &types.Resources{CPU: 2, Memory: 2, Disk: 5}))
	must(sandbox.Archive(ctx))
	until("archived", func() bool {
		must(sandbox.RefreshData(ctx))
		return sandbox.State == "archived"
	})
	must(sandbox.Start(ctx))
	equal(string(sandbox.State), "started")
	equal(run(ctx, sandbox, look), before)
	refused(sandbox.Resize(ctx, &types.Resources{Disk: 6}), 400, "stopped")
	must(sandbox.Resize(ctx, &types.Resources{CPU: 1, Memory: 3}))
	equal(string(sandbox.State), "started")
	equal(strings.TrimSpace(run(ctx, sandbox, "df -BG --output=size / | tail -n 1")), "5G")
}

// ephemeral ones go when they stop.
func ephemeral(ctx context.Context, client *daytona.Client) {
	sandbox := get(client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{Ephemeral: true}}))
	equal(sandbox.AutoDeleteInterval, 0)
	_ = sandbox.Stop(ctx) // finds it stopped, or gone already
	until("the end of an ephemeral sandbox", func() bool {
		_, err := client.Get(ctx, sandbox.ID)
		if err == nil {
			return false
		}
		refused(err, 404, "not found")
		return true
	})
}

// strangers have a wrong key.
func strangers(ctx context.Context) {
	client := get(daytona.NewClientWithConfig(&types.DaytonaConfig{APIKey: "dtn_wrong"}))
	_, err := client.List(ctx, nil, nil, nil)
	refused(err, 401, "")
	must(client.Close(ctx))
}
