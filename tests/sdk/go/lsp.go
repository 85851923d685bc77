package main

import (
	"context"
	"strings"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
	toolbox "github.com/daytonaio/daytona/libs/toolbox-api-client-go"
)

const project = "/home/daytona/project"

type labels []string

func (l labels) have(start string) bool {
	for _, label := range l {
		if strings.HasPrefix(label, start) {
			return true
		}
	}
	return false
}

// complete asks at the same number of line and character: this SDK sends one for the other.
func complete(ctx context.Context, server *daytona.LspServerService, path string, at int) labels {
	list := get(server.Completions(ctx, path, types.Position{Line: at, Character: at})).(*toolbox.CompletionList)
	var found labels
	for _, item := range list.GetItems() {
		found = append(found, item.GetLabel())
	}
	return found
}

// languageServers asks two of them about a small project.
func languageServers(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	fs := sandbox.FileSystem
	must(fs.CreateFolder(ctx, project))
	for path, text := range map[string]string{
		"a.py": "class Greeter:\n    def hello(self):\n        return 1\n\n\ngreeter = Greeter()\n\n\ngreeter.\n",
		"b.py": "def greet_all():\n    return 2\n",
		"a.ts": "class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\n\n\n\n\n\n\ngreeter.\n",
	} {
		must(fs.UploadFile(ctx, []byte(text), project+"/"+path))
	}
	talk(ctx, sandbox, types.LspLanguagePython, project+"/a.py", "greet_all")
	talk(ctx, sandbox, types.LspLanguageTypeScript, project+"/a.ts", "Greeter")
	must(sandbox.Delete(ctx))
}

func talk(ctx context.Context, sandbox *daytona.Sandbox, language types.LspLanguageID, path string, found string) {
	server := daytona.NewLspServerService(sandbox.ToolboxClient, language, project, nil)
	must(server.Start(ctx))
	must(server.DidOpen(ctx, path))
	equal(complete(ctx, server, path, 8).have("hello"), true)
	if all := complete(ctx, server, path, 0); len(all) <= 10 {
		fail("only %v", all)
	}
	symbols := map[string]toolbox.LspSymbol{}
	for _, one := range get(server.DocumentSymbols(ctx, path)) {
		symbol := one.(toolbox.LspSymbol)
		symbols[symbol.GetName()] = symbol
	}
	greeter := symbols["Greeter"]
	equal([]any{greeter.GetKind(), greeter.Location.GetUri()}, []any{int32(5), "file://" + path})
	equal(greeter.Location.Range.Start.GetLine(), int32(0))
	var names labels
	for _, one := range get(server.SandboxSymbols(ctx, "greet")) {
		symbol := one.(toolbox.LspSymbol)
		names = append(names, symbol.GetName())
	}
	equal(names.have(found), true)
	must(server.DidClose(ctx, path))
	must(server.Stop(ctx))
	_, err := server.DocumentSymbols(ctx, path)
	refused(err, 400, "server not initialized")
}
