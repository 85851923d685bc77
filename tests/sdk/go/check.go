package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"time"

	sdk "github.com/daytonaio/daytona/libs/sdk-go/pkg/errors"
)

// fail says where it was, the innermost first, and ends the program.
func fail(format string, args ...any) {
	for skip := 1; ; skip++ {
		at, file, line, ok := runtime.Caller(skip)
		if !ok || !strings.HasPrefix(runtime.FuncForPC(at).Name(), "main.") {
			break
		}
		if name := filepath.Base(file); name != "check.go" {
			fmt.Fprintf(os.Stderr, "%s:%d: ", name, line)
		}
	}
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%T: %v", err, err)
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func equal(got, want any) {
	if !reflect.DeepEqual(got, want) {
		fail("%#v instead of %#v", got, want)
	}
}

func holds(text, part string) {
	if !strings.Contains(text, part) {
		fail("no %q in %q", part, text)
	}
}

// refused wants an error of the server with this status and this text in its message.
func refused(err error, status int, text string) {
	var e *sdk.DaytonaError
	var missing *sdk.DaytonaNotFoundError
	if errors.As(err, &missing) {
		e = missing.DaytonaError
	} else if !errors.As(err, &e) {
		fail("%T is no error of the SDK: %v", err, err)
	}
	if e.StatusCode != status || !strings.Contains(e.Message, text) {
		fail("status %d: %s", e.StatusCode, e.Message)
	}
	equal(missing != nil, status == 404)
}

// until waits for what comes by itself.
func until(what string, done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			fail("%s does not come", what)
		}
	}
}
