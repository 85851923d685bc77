package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// git works on the repositories that the arguments name: an open one, and one that wants a password.
func git(ctx context.Context, client *daytona.Client) {
	open, secret := os.Args[2], os.Args[3]
	user, password := os.Getenv("GIT_USER"), os.Getenv("GIT_PASSWORD")
	sandbox := create(ctx, client)
	g, fs := sandbox.Git, sandbox.FileSystem
	must(g.Clone(ctx, open, "open", options.WithBranch("feature")))
	status := get(g.Status(ctx, "open"))
	equal(*status, types.GitStatus{CurrentBranch: "feature", BranchPublished: true, FileStatus: []types.FileStatus{}})
	refused(g.Clone(ctx, secret, "repo"), 401, "")
	must(g.Clone(ctx, secret, "repo", options.WithUsername(user), options.WithPassword(password)))

	name := fmt.Sprintf("branch/%d-%d", os.Getpid(), time.Now().UnixNano())
	equal(get(g.Branches(ctx, "repo")), []string{"main"})
	must(g.CreateBranch(ctx, "repo", name))
	must(g.Checkout(ctx, "repo", "main"))
	must(g.Checkout(ctx, "repo", name))
	equal(get(g.Branches(ctx, "repo")), []string{name, "main"})
	equal(get(g.Status(ctx, "repo")).CurrentBranch, name)
	must(fs.UploadFile(ctx, []byte("one\n"), "repo/file1.txt"))
	must(fs.CreateFolder(ctx, "repo/d"))
	must(fs.UploadFile(ctx, []byte("two\n"), "repo/d/file2.txt"))
	must(g.Add(ctx, "repo", []string{"file1.txt"}))
	seen := map[string]string{}
	for _, f := range get(g.Status(ctx, "repo")).FileStatus {
		seen[f.Path] = f.Status
	}
	equal(seen, map[string]string{"file1.txt": "A ", "d/file2.txt": "??"})
	must(g.Add(ctx, "repo", []string{"."}))
	made := get(g.Commit(ctx, "repo", "feat: add new feature", "John Doe", "john@example.com"))
	equal(made.SHA+"\n", run(ctx, sandbox, "git -C repo rev-parse HEAD"))
	equal(run(ctx, sandbox, "git -C repo log -1 --format='%an %ae %s'"), "John Doe john@example.com feat: add new feature\n")
	_, err := g.Commit(ctx, "repo", "nothing", "John Doe", "john@example.com")
	refused(err, 400, "empty commit")

	refused(g.Push(ctx, "repo", options.WithPushUsername(user), options.WithPushPassword("wrong")), 401, "")
	must(g.Push(ctx, "repo", options.WithPushUsername(user), options.WithPushPassword(password)))
	must(g.Pull(ctx, "repo", options.WithPullUsername(user), options.WithPullPassword(password)))
	must(g.Clone(ctx, secret, "again", options.WithCommitId(made.SHA), options.WithUsername(user), options.WithPassword(password)))
	equal(string(get(fs.DownloadFile(ctx, "again/d/file2.txt", nil))), "two\n")
	empty := get(g.Commit(ctx, "repo", "empty", "a", "a@example.com", options.WithAllowEmpty(true)))
	equal(run(ctx, sandbox, "git -C repo log -1 --format=%H"), empty.SHA+"\n")
	must(g.Checkout(ctx, "repo", "main"))
	must(g.DeleteBranch(ctx, "repo", name))
	equal(get(g.Branches(ctx, "repo")), []string{"main"})
	refused(g.DeleteBranch(ctx, "repo", name), 404, "")
	_, err = g.Status(ctx, "no-such-folder")
	refused(err, 404, "")
	must(sandbox.Delete(ctx))
}
