package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// An output is stdout, collected into larger writes.
type output struct {
	*bufio.Writer
	raw      io.Writer
	terminal bool
	json     *json.Encoder
}

func newOutput(w io.Writer) *output {
	o := &output{Writer: bufio.NewWriterSize(w, 64<<10), raw: w, terminal: isTerminal(w)}
	o.json = json.NewEncoder(o.Writer)
	o.json.SetEscapeHTML(false)
	return o
}

// name is a guest's name as it is printed: as it is into a pipe, and so that
// it cannot act on a terminal.
func (o *output) name(s string) string {
	if o.terminal {
		return shown(s)
	}
	return s
}

// shown is a name from a guest in a message: quoted where anything in it could
// act on a terminal.
func shown(s string) string {
	odd := func(r rune) bool { return r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) }
	if strings.IndexFunc(s, odd) >= 0 {
		return strconv.QuoteToGraphic(s)
	}
	return s
}

func isTTY(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// widePipe makes a pipe hold as much as one write of an archive.
func widePipe(w io.Writer) {
	if f, ok := w.(*os.File); ok {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, 1<<20) // a file or a small limit is fine, too
	}
}
