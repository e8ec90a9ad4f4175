// Command report reads `go test -json` and prints what a person wants to know: a line a package, the whole output of
// what failed, what was skipped by the reasons given, and the sums. Its exit status is 1 where anything failed or nothing
// ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// An event is one line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build's output
	Test       string
	Output     string
	Elapsed    float64
}

type key struct{ pkg, test string }

func main() {
	var passed, failed, skipped, packages int
	output := map[key][]string{} // until the test ends
	build := map[string][]string{}
	skips := map[string][]string{} // tests by the reason they gave
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			break
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			fmt.Print(string(line)) // not an event: the go command itself speaks
			continue
		}
		k := key{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			build[e.ImportPath] = append(build[e.ImportPath], e.Output)
		case "build-fail":
			fmt.Print(strings.Join(build[e.ImportPath], ""))
			failed++
		case "output":
			output[k] = append(output[k], e.Output)
		case "pass", "fail", "skip":
			switch {
			case e.Action == "fail":
				fmt.Print(strings.Join(output[k], ""))
				failed++
			case e.Test == "" && e.Action == "pass":
				packages++
				fmt.Printf("ok    %-56s %7.1fs\n", e.Package, e.Elapsed)
			case e.Action == "skip" && e.Test != "":
				skipped++
				why := reason(output[k])
				skips[why] = append(skips[why], path.Base(e.Package)+" "+e.Test)
			case e.Action == "pass":
				passed++
			}
			delete(output, k)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(skips)) {
		names := skips[why]
		fmt.Printf("skip  %d: %s: %s", len(names), why, strings.Join(names[:min(4, len(names))], ", "))
		if len(names) > 4 {
			fmt.Print(", ...")
		}
		fmt.Println()
	}
	fmt.Printf("%d passed, %d failed, %d skipped in %d packages\n", passed, failed, skipped, packages)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

// reason is the text that t.Skip printed.
func reason(lines []string) string {
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "===") || strings.HasPrefix(l, "---") {
			continue
		}
		// "file.go:12: text"
		if _, text, ok := strings.Cut(l, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
		return l
	}
	return "no reason given"
}
