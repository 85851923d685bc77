package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
)

var odd = []string{"work/naïve \"café\".txt", "work/日本語 🎉", "work/a;b%41+c"}

// files sends and fetches them, and changes them there.
func files(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	fs := sandbox.FileSystem
	local := get(os.MkdirTemp("", "files-"))
	defer os.RemoveAll(local)
	big := make([]byte, 3_000_000)
	get(rand.Read(big))

	must(fs.CreateFolder(ctx, "work/deep/er"))
	must(fs.CreateFolder(ctx, "work/secret", options.WithMode("0700")))
	must(fs.UploadFile(ctx, []byte("Hello, World!"), "work/hello.txt"))
	equal(string(get(fs.DownloadFile(ctx, "work/hello.txt", nil))), "Hello, World!")
	there, back := filepath.Join(local, "there"), filepath.Join(local, "back")
	must(os.WriteFile(there, big, 0o600))
	must(fs.UploadFile(ctx, there, "work/big.bin"))
	get(fs.DownloadFile(ctx, "work/big.bin", &back))
	equal(bytes.Equal(get(os.ReadFile(back)), big), true)
	must(fs.UploadFile(ctx, []byte("one TODO\ntwo\nTODO three"), "work/deep/er/a.txt"))
	must(fs.UploadFile(ctx, []byte{}, "work/empty"))
	equal(get(fs.GetFileInfo(ctx, "work/empty")).Size, int64(0)) // this SDK cannot download an empty file
	for _, name := range odd {
		must(fs.UploadFile(ctx, []byte(name), name))
		equal(string(get(fs.DownloadFile(ctx, name, nil))), name)
	}
	_, err := fs.DownloadFile(ctx, "work/missing", nil)
	refused(err, 404, "No such file")
	fileStreams(ctx, fs, big)

	lookAround(ctx, fs)
	change(ctx, fs)
	must(sandbox.Delete(ctx))
}

func lookAround(ctx context.Context, fs *daytona.FileSystemService) {
	var names []string
	for _, f := range get(fs.ListFiles(ctx, "work")) {
		names = append(names, f.Name)
	}
	equal(names, []string{"a;b%41+c", "big.bin", "deep", "empty", "hello.txt", "naïve \"café\".txt", "secret", "日本語 🎉"})
	info := get(fs.GetFileInfo(ctx, "work/hello.txt"))
	equal([]any{info.Name, info.IsDirectory, info.Size, info.Mode}, []any{"hello.txt", false, int64(13), "-rw-r--r--"})
	info = get(fs.GetFileInfo(ctx, "work/secret"))
	equal([]any{info.Name, info.IsDirectory, info.Mode}, []any{"secret", true, "drwx------"})
	_, err := fs.GetFileInfo(ctx, "work/missing")
	refused(err, 404, "No such file")
	equal(get(fs.FindFiles(ctx, "work", "TODO")), any([]map[string]any{
		{"file": "work/deep/er/a.txt", "line": int32(1), "content": "one TODO"},
		{"file": "work/deep/er/a.txt", "line": int32(3), "content": "TODO three"}}))
	equal(get(fs.SearchFiles(ctx, "work", "*.txt")), any(map[string]any{
		"files": []string{"work/deep/er/a.txt", "work/hello.txt", odd[0]}}))
	equal(get(fs.SearchFiles(ctx, "work", "*.none")), any(map[string]any{"files": []string{}}))
}

func change(ctx context.Context, fs *daytona.FileSystemService) {
	replaced := get(fs.ReplaceInFiles(ctx, []string{"work/deep/er/a.txt", "work/missing"}, "TODO", "DONE")).([]map[string]any)
	equal([]any{len(replaced), replaced[0]["success"], replaced[1]["success"]}, []any{2, true, false})
	holds(replaced[1]["error"].(string), "No such file")
	equal(string(get(fs.DownloadFile(ctx, "work/deep/er/a.txt", nil))), "one DONE\ntwo\nDONE three")
	must(fs.SetFilePermissions(ctx, "work/hello.txt", options.WithPermissionMode("600"), options.WithOwner("daytona")))
	equal(get(fs.GetFileInfo(ctx, "work/hello.txt")).Mode, "-rw-------")
	must(fs.MoveFiles(ctx, "work/hello.txt", "work/moved.txt"))
	refused(fs.MoveFiles(ctx, "work/moved.txt", "work/empty"), 409, "already exists")
	refused(fs.DeleteFile(ctx, "work", false), 400, "recursive")
	must(fs.DeleteFile(ctx, "work/moved.txt", false))
	must(fs.DeleteFile(ctx, "work", true))
	_, err := fs.ListFiles(ctx, "work")
	refused(err, 404, "No such file")
	must(fs.CreateFolder(ctx, "again"))
	equal(len(get(fs.ListFiles(ctx, "again"))), 0)
	must(fs.UploadFile(ctx, []byte("x"), "again/x"))
	if age := time.Since(get(fs.GetFileInfo(ctx, "again/x")).ModifiedTime); age < 0 {
		fail("changed %s in the future", -age)
	}
}
