package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) lsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list files", ArgsUsage: "IMAGE[:PATH]...", Category: "Look",
		Description: "Lists a directory, or names a file, sorted by name. Owners are numbers and times are UTC. With --json each file is an\n" +
			"object of the shape guestctl.file/1.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "long", Aliases: []string{"l"}, Usage: "show mode, links, owner, group, size and time"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "recursive", Aliases: []string{"R"}, Usage: "and what is in each directory"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "all", Aliases: []string{"a", "A"}, Usage: "names that begin with a dot, too"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "directory", Aliases: []string{"d"}, Usage: "a directory itself, not what is in it"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "human-readable", Usage: "sizes like 1.2G; also -h"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "one", Aliases: []string{"1"}, Usage: "one name a line, as always"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			l := &lister{session: s, headings: len(argv) > 1 || s.cli.Bool("recursive"), prefix: several(argv)}
			return s.each(argv, l.list)
		}),
	}
}

type lister struct {
	*session
	headings bool
	prefix   bool   // headings name the image
	begun    bool   // something was printed
	dir      string // whose heading was printed last
}

func (l *lister) list(g *opened, t target) error {
	opt := files.ListOptions{All: l.cli.Bool("all"), Recursive: l.cli.Bool("recursive"), Itself: l.cli.Bool("directory"), Problem: l.problem(g, t)}
	return g.list(l.ctx, t.path, opt, func(in *files.Listing) error {
		if l.cli.Bool("json") {
			for _, e := range in.Entries {
				if err := l.out.json.Encode(g.record(l.ctx, e, false)); err != nil {
					return err
				}
			}
			return nil
		}
		if in.Dir != nil && l.headings && l.dir != in.Dir.Path {
			heading := in.Dir.Path
			if l.prefix {
				heading = target{t.image, t.snapshot, t.volume, heading}.String()
			}
			if l.begun {
				fmt.Fprintln(l.out)
			}
			fmt.Fprintf(l.out, "%s:\n", l.out.name(heading))
			l.dir = in.Dir.Path
		}
		l.begun = true
		if !l.cli.Bool("long") {
			return l.names(in)
		}
		return l.long(in)
	})
}

// label is how an entry is called: by its name in a directory, else as typed.
func (l *lister) label(in *files.Listing, e *files.Entry) string {
	if in.Dir == nil {
		return l.out.name(e.Path)
	}
	return l.out.name(e.Name)
}

func (l *lister) names(in *files.Listing) error {
	for _, e := range in.Entries {
		if _, err := fmt.Fprintln(l.out, l.label(in, e)); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) long(in *files.Listing) error {
	columns := make([]longRow, 0, len(in.Entries))
	var wide longRow
	for _, e := range in.Entries {
		row := l.row(e, l.label(in, e))
		for c := range row.cells {
			if len(row.cells[c]) > len(wide.cells[c]) {
				wide.cells[c] = row.cells[c]
			}
		}
		columns = append(columns, row)
	}
	for _, row := range columns {
		c, w := row.cells, wide.cells
		if _, err := fmt.Fprintf(l.out, "%s %*s %-*s %-*s %*s %s %s\n", row.mode, len(w[0]), c[0], len(w[1]), c[1], len(w[2]), c[2], len(w[3]), c[3], row.time, row.name); err != nil {
			return err
		}
	}
	return nil
}

// A longRow is a line of ls -l.
type longRow struct {
	mode  string
	cells [4]string // links, owner, group, size
	time  string
	name  string
}

func (l *lister) row(e *files.Entry, name string) longRow {
	if e.Inode == nil {
		return longRow{"??????????", [4]string{"?", "?", "?", "?"}, strings.Repeat("?", len(lsTime)), name}
	}
	a := e.Attr
	row := longRow{mode: modeString(a.Mode), time: a.Mtime.Go().Format(lsTime), name: name,
		cells: [4]string{strconv.FormatUint(uint64(a.Nlink), 10), strconv.FormatUint(uint64(a.UID), 10), strconv.FormatUint(uint64(a.GID), 10), strconv.FormatInt(a.Size, 10)}}
	if l.cli.Bool("human-readable") {
		row.cells[3] = humanSize(a.Size)
	}
	switch e.Type() {
	case syscall.S_IFLNK:
		target, err := e.Inode.Readlink(l.ctx)
		if err != nil {
			target = "?"
		}
		row.name += " -> " + l.out.name(target)
	case syscall.S_IFCHR, syscall.S_IFBLK:
		row.cells[3] = strings.Replace(files.NewRecord(l.ctx, l.guests[0].namespace(), e, false).Device, ":", ", ", 1)
	}
	return row
}

const lsTime = time.DateTime

// modeString is a mode as ls shows it: "drwxr-sr-t".
func modeString(mode uint32) string {
	kind := map[uint32]byte{syscall.S_IFREG: '-', syscall.S_IFDIR: 'd', syscall.S_IFLNK: 'l', syscall.S_IFCHR: 'c',
		syscall.S_IFBLK: 'b', syscall.S_IFIFO: 'p', syscall.S_IFSOCK: 's'}[mode&syscall.S_IFMT]
	if kind == 0 {
		kind = '?'
	}
	b := []byte{kind}
	for i := 8; i >= 0; i-- {
		c := "xwr"[i%3]
		if mode>>i&1 == 0 {
			c = '-'
		}
		b = append(b, c)
	}
	for _, s := range []struct {
		bit   uint32
		at    int
		x, no byte
	}{{syscall.S_ISUID, 3, 's', 'S'}, {syscall.S_ISGID, 6, 's', 'S'}, {syscall.S_ISVTX, 9, 't', 'T'}} {
		if mode&s.bit != 0 {
			if b[s.at] == 'x' {
				b[s.at] = s.x
			} else {
				b[s.at] = s.no
			}
		}
	}
	return string(b)
}
