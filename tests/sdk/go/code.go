package main

import (
	"context"
	"fmt"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// interpret runs code in the stateful interpreter; what came before the end is the same as what it gives then.
func interpret(ctx context.Context, s *daytona.Sandbox, text string, opts ...func(*options.RunCode)) *types.ExecutionResult {
	channels := get(s.CodeInterpreter.RunCode(ctx, text, opts...))
	var seen types.ExecutionResult
	out, bad, errors := channels.Stdout, channels.Stderr, channels.Errors
	for out != nil || bad != nil || errors != nil {
		select {
		case m, more := <-out:
			if !more {
				out = nil
			} else {
				seen.Stdout += m.Text
			}
		case m, more := <-bad:
			if !more {
				bad = nil
			} else {
				seen.Stderr += m.Text
			}
		case e, more := <-errors:
			if !more {
				errors = nil
			} else {
				seen.Error = e
			}
		}
	}
	end := <-channels.Done
	equal([]string{seen.Stdout, seen.Stderr}, []string{end.Stdout, end.Stderr})
	if seen.Error != nil {
		equal(end.Error, seen.Error)
	}
	return end
}

// code runs programs, and the interpreter, whose contexts know nothing of each other.
func code(ctx context.Context, client *daytona.Client) {
	sandbox := create(ctx, client)
	codeRuns(ctx, sandbox)
	it := sandbox.CodeInterpreter
	end := interpret(ctx, sandbox, "import sys\nfor i in range(3): print(i)\nprint('e', file=sys.stderr)\n1 / 0",
		options.WithInterpreterTimeout(30*time.Second))
	equal([]string{end.Stdout, end.Stderr, end.Error.Name, end.Error.Value}, []string{"0\n1\n2\n", "e\n", "ZeroDivisionError", "division by zero"})
	holds(*end.Error.Traceback, `File "<stdin>", line 4`)
	end = interpret(ctx, sandbox, "import os; x = 1; print(os.environ['A'])", options.WithEnv(map[string]string{"A": "b"}))
	equal(end.Stdout, "b\n")

	cwd := "/tmp"
	made := get(it.CreateContext(ctx, &cwd))
	equal([]any{made["cwd"], made["language"], made["active"]}, []any{"/tmp", "python", true})
	id := made["id"].(string)
	end = interpret(ctx, sandbox, "import os; print(os.getcwd()); print(x)", options.WithCustomContext(id))
	equal([]string{end.Stdout, end.Error.Name}, []string{"/tmp\n", "NameError"})
	end = interpret(ctx, sandbox, "print(x)")
	equal([]any{end.Stdout, end.Error}, []any{"1\n", (*types.ExecutionError)(nil)})
	listed := get(it.ListContexts(ctx))
	equal([]any{len(listed), listed[0]["id"]}, []any{1, id})
	end = interpret(ctx, sandbox, "import time; time.sleep(60)", options.WithCustomContext(id),
		options.WithInterpreterTimeout(time.Second))
	holds(fmt.Sprint(end.Error), "timed out")
	must(it.DeleteContext(ctx, id))
	equal(len(get(it.ListContexts(ctx))), 0)
	refused(it.DeleteContext(ctx, id), 404, "not found")
	end = interpret(ctx, sandbox, "1", options.WithCustomContext(id))
	equal(end.Error.Name, "ConnectionError")
	must(sandbox.Delete(ctx))
}
